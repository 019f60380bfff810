"""MCA, multidimensional collaborative attention: gates for rows, for columns and for channels.

Yu, Zhang, Cheng, Song and Tang, "MCA: Multidimensional Collaborative Attention in Deep
Convolutional Neural Networks for Image Recognition", Engineering Applications of Artificial
Intelligence 126, 2023. For each of the three axes, with the mean m and the deviation d (unbiased)
over the two others, and two learned weights,

    z = (0.5 + sigmoid(w_0)) m + (0.5 + sigmoid(w_1)) d
    gate = sigmoid(conv of k taps along the axis, z)
    out = x (gate_rows + gate_columns + gate_channels) / 3

k is 3 for rows and columns. For C channels it is |log2 C - 1| / 1.5, rounded (halves to even), less
1 if even, and at least 1: 3 for 32 to 128, 5 for 256 to 1024. [B, C, H, W] keeps its shape.

Choices:

- `no_spatial`, as in the authors' code, leaves out the *channel* gate and divides by 2.
- The deviation of a single value is 0, where the code has NaN. Deviations are kept above 1e-6, so
  that a flat map has a gradient.
- Statistics over two axes come from those over one, whose means and variances add up exactly.

Cost: 12 + k parameters. In eager mode on a CPU x alone is kept for backward (fast/mca.py).
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -1.07 (-7.20 to +5.06), 3 seeds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.attention._checks import check_flag
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.gates import scale
from models.attention.fast.mca import variance_and_mean

SMALLEST_VARIANCE = 1e-12


class _Gate(nn.Module):
    def __init__(self, taps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(2))
        self.conv = nn.Conv2d(1, 1, (1, taps), padding=(0, taps // 2), bias=False)

    def forward(self, mean: Tensor, deviation: Tensor) -> Tensor:
        """Mean and deviation, each [B, L] along the axis, -> gate [B, L]."""
        shares = 0.5 + self.weight.sigmoid()
        z = shares[0] * mean + shares[1] * deviation
        return self.conv(z[:, None, None].to(self.conv.weight.dtype)).sigmoid()[:, 0, 0]


@register("MCALayer", "MCA_Attention")
class MCA(nn.Module):
    """Scales every value by the mean of three gates.

    no_spatial: whether to leave out the channel gate; the name is that of the authors' code. Raises
    ValueError if it is not true or false.
    """

    tutorial_order = ("no_spatial",)

    def __init__(self, channels: int, *, no_spatial: bool = False) -> None:
        super().__init__()
        self.h_cw = _Gate(3)
        self.w_hc = _Gate(3)
        self.c_hw = None if check_flag("no_spatial", no_spatial) else _Gate(taps(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        precise = x.to(wide(x.dtype))
        _, channels, height, width = x.shape
        along_rows = _spread(precise, 3)  # [B, C, H] each
        along_columns = _spread(precise, 2)  # [B, C, W] each
        rows = self.h_cw(*_merge(*along_rows, 1, channels * width))  # [B, H]
        columns = self.w_hc(*_merge(*along_columns, 1, channels * height))  # [B, W]
        position = rows[:, None, :, None] + columns[:, None, None]  # [B, 1, H, W]
        if self.c_hw is None:
            return scale(x, position / 2)
        gate = self.c_hw(*_merge(*along_rows, 2, height * width))  # [B, C]
        # Two products, since the sum of both gates is a map, which backward would keep.
        return scale(x, position / 3) + scale(x, gate[:, :, None, None] / 3)


def _spread(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Variance and mean along dim, each of the shape of x, [B, C, H, W], without dim."""
    return variance_and_mean(x, dim) if use_fast(x) else torch.var_mean(x, dim, correction=0)


def _merge(variance: Tensor, mean: Tensor, dim: int, count: int) -> tuple[Tensor, Tensor]:
    """Mean and unbiased deviation of what lies along dim, from parts of equal size.

    Args:
        variance: of each part, around its own mean.
        mean: of each part, of the same shape.
        dim: of the parts that are merged.
        count: values in all that are merged.

    Returns:
        Mean and deviation, without dim.
    """
    whole = variance.mean(dim) + mean.var(dim, correction=0)
    unbiased = whole * (count / max(count - 1, 1))
    return mean.mean(dim), unbiased.clamp_min(SMALLEST_VARIANCE).sqrt()


def taps(channels: int) -> int:
    """Return the taps of the convolution along the channels, an odd number."""
    rounded = round(abs(math.log2(channels) - 1) / 1.5)
    return max(rounded - (rounded % 2 == 0), 1)
