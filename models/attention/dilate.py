"""MultiDilatelocalAttention: each position attends to its neighbours at several distances.

Jiao, Tang, Lin, Gao, Ma, Wang and Zheng, "DilateFormer: Multi-Scale Dilated Transformer for Visual
Recognition", IEEE Transactions on Multimedia 2023, https://arxiv.org/abs/2302.01791, sections 3.1
and 3.2. q, k and v are a 1x1 convolution of x. The channels form as many parts as there are
dilation rates, each of heads with d channels. In a part with rate r, position i attends to the
k x k positions around it that are r apart,

    h_i = sum over j of softmax_j(q_i . k_j / sqrt(d)) v_j,    out = proj([h of all parts])

[B, C, H, W] -> [B, C, H, W]. Cost: 4 C^2 + C parameters, 262,400 at 256 channels. Time grows with
the number of positions.

Choices, as in the authors' code: neighbours outside the map are zeros that take part in the
softmax, and the first convolution has no bias. The rates are 1 to 4, which divide usual channels,
where the paper's are 1 to 3 for channels that 3 divides. Neighbours are views of one padded map:
nothing is copied once for each of them.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -11.50 (-17.58 to -5.41), 3 seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_flag, check_odd, choose_divisor, is_count
from models.attention._maps import apply_at_positions
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import traced, use_fast

USUAL_HEADS = 8
UNFOLDED = 40 * 40  # positions; the copies of all neighbours keep 18 maps for the backward pass


@register()
class MultiDilatelocalAttention(nn.Module):
    """Replaces each position by a mixture of its neighbours.

    Args:
        channels: C, of the map, a multiple of the number of rates.
        num_heads: of all parts together, a multiple of the number of rates that divides the
            channels; None means 8, or the largest fitting number below it.
        kernel_size: k, side of the neighbourhood, odd.
        dilation: a rate for each part.
        qkv_bias: whether the first convolution has a bias.

    Raises:
        ValueError: An option has another value, or the rates do not divide the channels.
    """

    tutorial_order = ("num_heads",)
    usual_values = (8, 12, 16)

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int | None = None,
        kernel_size: int = 3,
        dilation: Sequence[int] = (1, 2, 3, 4),
        qkv_bias: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = check_odd("kernel_size", kernel_size)
        if (
            not isinstance(dilation, (list, tuple))
            or not dilation
            or not all(map(is_count, dilation))
        ):
            raise ValueError(
                f"dilation={dilation!r}: must be a list of rates, such as [1, 2, 3, 4]"
            )
        self.dilation, rates = tuple(dilation), len(dilation)
        if channels % rates:
            raise ValueError(
                f"dilation={list(dilation)}: {rates} rates do not divide the {channels} channels"
            )
        self.heads = heads_of_part(num_heads, channels, rates)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=check_flag("qkv_bias", qkv_bias))
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        rates = len(self.dilation)
        parts = [one.chunk(rates, 1) for one in self.qkv(x).chunk(3, 1)]
        mixed = [self.attend(*part) for part in zip(*parts, self.dilation, strict=True)]
        return apply_at_positions(self.proj, torch.cat(mixed, 1)).to(x.dtype)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, rate: int) -> Tensor:
        """Attention of a part, [B, c, H, W] each -> [B, c, H, W]."""
        batch, channels, height, width = q.shape
        depth = channels // self.heads
        query = (q * depth**-0.5).reshape(batch, self.heads, depth, height, width)
        if not (traced(q) or use_fast(q)) and height * width <= UNFOLDED:
            return self.attend_unfolded(query, k, v, rate).reshape(q.shape)
        logits = [(query * near).sum(2) for near in self.neighbours(k, rate)]  # [B, h, H, W] each
        scores = torch.stack(logits, 2)
        weights = scores.softmax(2, dtype=wide(scores.dtype)).to(v.dtype)  # [B, h, k * k, H, W]
        total = torch.zeros_like(query)
        for weight, near in zip(weights.unbind(2), self.neighbours(v, rate), strict=True):
            total = torch.addcmul(total, weight[:, :, None], near)
        return total.reshape(q.shape)

    def attend_unfolded(self, query: Tensor, k: Tensor, v: Tensor, rate: int) -> Tensor:
        """The same for an accelerator, on whose small maps launches cost more than copies do.

        Args:
            query: [B, h, d, H, W], scaled.
            k, v: [B, c, H, W].
            rate: of the part.

        Returns:
            [B, h, d, H * W].
        """
        side, batch, positions = self.kernel_size, len(k), k.shape[2:].numel()
        near_k, near_v = (
            F.unfold(part, side, rate, rate * (side // 2)).reshape(
                batch, self.heads, -1, side * side, positions
            )
            for part in (k, v)
        )  # [B, h, d, k * k, H * W] each
        scores = (query.flatten(3)[:, :, :, None] * near_k).sum(2)
        weights = scores.softmax(2, dtype=wide(scores.dtype)).to(v.dtype)
        return (near_v * weights[:, :, None]).sum(3).to(v.dtype)

    def neighbours(self, maps: Tensor, rate: int) -> list[Tensor]:
        """Views of a padded map, [B, c, H, W] -> k * k times [B, h, d, H, W]."""
        batch, channels, height, width = maps.shape
        reach = rate * (self.kernel_size // 2)
        heads = maps.reshape(batch, self.heads, channels // self.heads, height, width)
        padded = F.pad(heads, (reach, reach, reach, reach))
        places = range(0, 2 * reach + 1, rate)
        return [
            padded[..., down : down + height, across : across + width]
            for down in places
            for across in places
        ]

    def extra_repr(self) -> str:
        return f"num_heads={self.heads * len(self.dilation)}, dilation={self.dilation}"


def heads_of_part(value: object, channels: int, rates: int) -> int:
    """Return the heads of one part. Raises ValueError unless all parts' heads fit the channels."""
    if value is None:
        return choose_divisor(
            "num_heads", None, channels // rates, max(USUAL_HEADS // rates, 1), ""
        )
    if not isinstance(value, int) or not is_count(value) or value % rates or channels % value:
        raise ValueError(
            f"num_heads={value!r}: must be a multiple of the {rates} rates and divide the"
            f" {channels} channels"
        )
    return value // rates
