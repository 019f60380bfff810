"""MHSA, multi-head self-attention: every position attends to all others.

Srinivas, Lin, Parmar, Shlens, Abbeel and Vaswani, "Bottleneck Transformers for Visual Recognition",
CVPR 2021, https://arxiv.org/abs/2101.11605, section 3. With queries q, keys k and values v, each a
1x1 convolution of x in `heads` heads of d channels, and positions i and j of the map,

    out_i = sum over j of softmax_j(E_ij) v_j
    E_ij = q_i . k_j                                                  without a code of position
    E_ij = q_i . k_j + p_i . q_j                                      pos_emb: true
    E_ij = (q_i . k_j + q_i . (w_(column j - column i) + h_(row j - row i))) / sqrt(d)   relative

where p is the sum of a learned vector for each row and one for each column. The output replaces x.

Choices: the first two forms are those of YOLO's public code, which has no scale and no code of
position unless it is asked for. The third is the paper's, whose convolutions have no bias. Both
codes of position belong to one size of map, and another one is refused. As in the public code,
`width` counts the rows of the map and `height` its columns. key.bias has no gradient, because a
softmax does not depend on what is added to all logits.

[B, C, H, W] -> [B, C, H, W]. Cost: 3 C^2 + 3 C parameters, 197,376 at 256 channels. Time grows with
the square of the number of positions, so the module belongs to the smallest maps. PyTorch's fused
attention keeps no matrix of H W x H W logits; only the relative form writes one.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -24.49 (-32.13 to -16.86), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +0.77 (-2.25 to +3.78), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -20.28 (-24.28 to -16.28), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, -0.21 (-2.41 to +1.99), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, choose_divisor
from models.attention._registry import register

USUAL_HEADS = 4
CODES = (False, True, "relative")


@register()
class MHSA(nn.Module):
    """Replaces each position by a mean of all values, weighted by how well keys fit its query.

    Args:
        channels: of the map.
        heads: a divisor of the channels; None means 4 or, if 4 is no divisor, the largest below.
        pos_emb: whether positions have the code of the public code, or "relative" for the paper's.
        width: number of rows of the map; used only with a code of position.
        height: number of columns of the map; used only with a code of position.

    Raises:
        ValueError: An option has another value; in forward, the map has another size than the code
            of position.
    """

    tutorial_order = ("heads", "pos_emb")
    other_orders = (("width", "height", "heads"), ("width", "height", "heads", "pos_emb"))
    usual_values = (8, 10, 14, 16, 20, 40)  # heads, or sides of maps
    dead_parameters = ("key.bias",)

    def __init__(
        self,
        channels: int,
        *,
        heads: int | None = None,
        pos_emb: bool | str = False,
        width: int = 14,
        height: int = 14,
    ) -> None:
        super().__init__()
        self.heads = choose_divisor(
            "heads", heads, channels, USUAL_HEADS, f"the {channels} channels"
        )
        if not isinstance(pos_emb, (bool, str)) or pos_emb not in CODES:
            raise ValueError(f"pos_emb={pos_emb!r}: must be true, false or relative")
        self.pos_emb = pos_emb
        self.size = (check_count("width", width, 14), check_count("height", height, 14))
        is_relative = pos_emb == "relative"
        self.query, self.key, self.value = (
            nn.Conv2d(channels, channels, 1, bias=not is_relative) for _ in range(3)
        )
        depth = channels // self.heads
        if is_relative:
            self.rel_emb_w = nn.Parameter(torch.randn(2 * height - 1, depth) * depth**-0.5)
            self.rel_emb_h = nn.Parameter(torch.randn(2 * width - 1, depth) * depth**-0.5)
        elif pos_emb:
            self.rel_h_weight = nn.Parameter(torch.randn(1, self.heads, depth, 1, height))
            self.rel_w_weight = nn.Parameter(torch.randn(1, self.heads, depth, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x.

        Raises ValueError if there is a code of position, and it is one of another size.
        """
        q, k, v = (self.tokens(part(x)) for part in (self.query, self.key, self.value))
        # The builder of a graph measures strides with meta maps of another size; only shapes count.
        if self.pos_emb and not x.is_meta:
            out = self.attend_by_place(q, k, v, (x.shape[2], x.shape[3]))
        else:
            out = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        out = out.to(x.dtype)  # [B, heads, H * W, d]
        if x.stride(1) == 1:  # channels-last
            batch, channels, rows, columns = x.shape
            return out.transpose(1, 2).reshape(batch, rows, columns, channels).permute(0, 3, 1, 2)
        return out.transpose(2, 3).reshape(x.shape)

    def tokens(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, heads, H * W, d], contiguous as fused attention wants it."""
        batch, channels, height, width = maps.shape
        heads = maps.reshape(batch, self.heads, channels // self.heads, height * width)
        return heads.transpose(2, 3).contiguous()

    def attend_by_place(self, q: Tensor, k: Tensor, v: Tensor, size: tuple[int, int]) -> Tensor:
        """Attention of tokens, [B, heads, H * W, d] each, whose logits depend on their places."""
        if size != self.size:
            map_size, built = (f"{rows} x {columns}" for rows, columns in (size, self.size))
            raise ValueError(
                f"MHSA: the map is {map_size}, but the code of position {built}; write"
                f" {{width: {size[0]}, height: {size[1]}}} or leave pos_emb out"
            )
        if self.pos_emb == "relative":
            q = q * q.shape[3] ** -0.5
            return F.scaled_dot_product_attention(q, k, v, self.relative_logits(q), scale=1.0)
        places = (self.rel_h_weight + self.rel_w_weight).flatten(3).transpose(2, 3)  # the p above
        # One product of longer vectors is the sum of both: [q, p] . [k, q] = q . k + p . q.
        queries = torch.cat((q, places.to(q.dtype).expand_as(q)), 3)
        return F.scaled_dot_product_attention(queries, torch.cat((k, q), 3), v, scale=1.0)

    def relative_logits(self, q: Tensor) -> Tensor:
        """q_i . (w + h) for all i and j: [B, heads, H * W, d] -> [B, heads, H * W, H * W]."""
        rows, columns = self.size
        q = q.unflatten(2, self.size)  # [B, heads, H, W, d]
        along = torch.einsum("bnyxd,xjd->bnyxj", q, _differences(self.rel_emb_w, columns))
        down = torch.einsum("bnyxd,yjd->bnyxj", q, _differences(self.rel_emb_h, rows))
        # [B, heads, H, W, 1, W] and [B, heads, H, W, H, 1]
        logits = along[..., None, :] + down[..., None]
        return logits.flatten(4).flatten(2, 3)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, pos_emb={self.pos_emb}"


def _differences(table: Tensor, length: int) -> Tensor:
    """Rows j - i of the table, which begins with 1 - length: [2 * length - 1, d] -> [i, j, d]."""
    places = torch.arange(length, device=table.device)
    return table[places - places[:, None] + length - 1]
