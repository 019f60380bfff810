"""SHSA, single-head self-attention: a part of the channels attends, the others pass by.

Yun and Ro, "SHViT: Single-Head Vision Transformer with Memory Efficient Macro Design", CVPR 2024,
https://arxiv.org/abs/2401.16456, section 3.2. x is split into the first P channels and the rest,

    q, k, v = 1x1 convolution with batch norm of group norm(first)
    attended = softmax(q k^T / sqrt(d)) v
    out = 1x1 convolution with batch norm of relu([attended, rest])

where q and k have d channels and v has P, and the group norm is over all values of an image.

[B, C, H, W] -> [B, C, H, W]. Cost: P (P + 2 d) + C^2 + 4 P + 4 d + 2 C parameters, 70,972 at 256
channels. Time grows with the square of the number of positions. PyTorch's fused attention keeps no
matrix of H W x H W logits; it wants q, k and v of one width, so the narrower are filled with zeros.

Choices: P is the paper's C / 4.67, rounded down. The weight of the last batch norm starts at 1; in
the authors' network it starts at 0, where a residual surrounds it.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -6.75 (-13.91 to +0.40), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count
from models.attention._numerics import apply_batch_norm
from models.attention._registry import register
from models.attention.fast._blocks import like

RATIO = 4.67


class _ConvNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return apply_batch_norm(self.bn, self.c(x))


@register()
class SHSA(nn.Module):
    """Mixes positions in some channels, then all channels.

    Args:
        channels: C, of the map.
        qk_dim: d, channels of queries and of keys.
        pdim: P, channels that attend; None means C / 4.67, one at least.

    Raises:
        ValueError: a number is no whole number from 1 on, or pdim is above the channels.
    """

    tutorial_order = ("qk_dim", "pdim")
    usual_values = (8, 16, 32)

    def __init__(self, channels: int, *, qk_dim: int = 16, pdim: int | None = None) -> None:
        super().__init__()
        self.qk_dim = check_count("qk_dim", qk_dim, 16)
        usual = max(int(channels / RATIO), 1)
        self.pdim = usual if pdim is None else check_count("pdim", pdim, usual)
        if self.pdim > channels:
            raise ValueError(f"pdim={pdim}: is more than the {channels} channels")
        self.pre_norm = nn.GroupNorm(1, self.pdim)
        self.qkv = _ConvNorm(self.pdim, 2 * qk_dim + self.pdim)
        self.proj = nn.Sequential(nn.ReLU(), _ConvNorm(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        first, rest = x.split((self.pdim, x.shape[1] - self.pdim), 1)
        norm = self.pre_norm
        # Unlike nn.GroupNorm, this takes a single value too.
        first = torch.group_norm(first, 1, norm.weight, norm.bias, norm.eps)
        first = like(self.attend(first).to(x.dtype), x)
        return like(self.proj(torch.cat((first, rest), 1)).to(x.dtype), x)

    def attend(self, part: Tensor) -> Tensor:
        """[B, P, H, W] -> [B, P, H, W]."""
        widths = (self.qk_dim, self.qk_dim, self.pdim)
        # Split before it is transposed: PyTorch 2.14 gets the gradient of a batch norm in eval mode
        # wrong for a single image, if the gradient of its output is transposed.
        q, k, v = (
            F.pad(one.transpose(1, 2), (0, max(widths) - one.shape[1])).contiguous()[:, None]
            for one in self.qkv(part).flatten(2).split(widths, 1)
        )  # [B, 1, H * W, d]
        out = F.scaled_dot_product_attention(q, k, v, scale=self.qk_dim**-0.5)
        return out[:, 0, :, : self.pdim].transpose(1, 2).unflatten(2, part.shape[2:])

    def extra_repr(self) -> str:
        return f"qk_dim={self.qk_dim}, pdim={self.pdim}"
