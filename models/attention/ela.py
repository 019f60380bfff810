"""ELA, efficient local attention: a gate for each channel and row, and one for each column.

Xu and Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024,
https://arxiv.org/abs/2403.01123, section 3. With means of x over its width, a sequence of H values
per channel, and over its height, one of W,

    g(t) = sigmoid(group norm(conv1d(t)))
    out = x g(row means) g(column means)

Both directions share the convolution and the norm. The paper's variants are B: kernel_size 7, one
group of convolution per channel, num_groups 16; T: 5, one per channel, 32; S: 5, C / 8 groups, 16;
L: 7, C / 8 groups, 16. [B, C, H, W] keeps its shape.

Choices: variant B is the default. Many detectors have under this name a dense convolution of one
tap with a bias: {kernel_size: 1, groups: 1, bias: true}. Where 16 does not divide the channels, the
greatest common divisor of both is taken with a warning. A group of a single value, as on a map with
one row where each channel is its own group, is normalised to 0; its gate is a constant.

Cost: C k C / groups + 2 C parameters, 2,304 at 256 channels; forward reads the map twice and writes
it once.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -2.83 (-8.97 to +3.31), 3 seeds.
"""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from models.attention._checks import check_flag, check_odd, choose_divisor
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.coord_attention import fast_coord_attention

USUAL_NORM_GROUPS = 16


@register("EfficientLocalAttention", "EfficientLocalizationAttention", "ELA_Attention")
class ELA(nn.Module):
    """Scales rows and columns of every channel.

    It warns if 16 groups of the norm do not fit the channels and num_groups is not given.

    Args:
        channels: C, of the map.
        kernel_size: taps of the convolution along a row or column, odd.
        groups: of the convolution; None means one for each channel.
        num_groups: of the norm; None means 16, or the greatest common divisor of 16 and C.
        bias: whether the convolution has a bias.

    Raises:
        ValueError: kernel_size is not odd, a number of groups does not divide the channels, or
            bias is not true or false.
    """

    tutorial_order = ("kernel_size", "groups", "num_groups", "bias")
    usual_values = (9, 11, 13)

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 7,
        groups: int | None = None,
        num_groups: int | None = None,
        bias: bool = False,
    ) -> None:
        super().__init__()
        check_odd("kernel_size", kernel_size)
        check_flag("bias", bias)
        what = f"the {channels} channels"
        groups = choose_divisor("groups", groups, channels, channels, what)
        num_groups = _norm_groups(channels) if num_groups is None else num_groups
        choose_divisor("num_groups", num_groups, channels, USUAL_NORM_GROUPS, what)
        self.conv = nn.Conv1d(
            channels, channels, kernel_size, padding=kernel_size // 2, groups=groups, bias=bias
        )
        self.gn = nn.GroupNorm(num_groups, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if use_fast(x):
            return fast_coord_attention(x, self.gates)
        rows = x.mean(3, keepdim=True, dtype=wide(x.dtype))  # [B, C, H, 1]
        columns = x.mean(2, keepdim=True, dtype=wide(x.dtype))  # [B, C, 1, W]
        rows, columns = self.gates(rows, columns)
        return x * rows.to(x.dtype) * columns.to(x.dtype)

    def gates(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Means [B, C, H, 1] and [B, C, 1, W] -> gates of the same shapes."""
        return self.gate(rows.squeeze(3)).unsqueeze(3), self.gate(columns.squeeze(2)).unsqueeze(2)

    def gate(self, means: Tensor) -> Tensor:
        """[B, C, L] in any type -> gates [B, C, L] between 0 and 1."""
        t = self.conv(means.to(self.conv.weight.dtype))
        norm = self.gn
        # The function of nn.functional refuses a single value per group.
        return torch.group_norm(t, norm.num_groups, norm.weight, norm.bias, norm.eps).sigmoid()


def _norm_groups(channels: int) -> int:
    groups = math.gcd(channels, USUAL_NORM_GROUPS)
    if groups != USUAL_NORM_GROUPS:
        warnings.warn(
            f"ELA: {USUAL_NORM_GROUPS} groups do not divide the {channels} channels; num_groups is"
            f" {groups}",
            stacklevel=3,
        )
    return groups
