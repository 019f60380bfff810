"""ShuffleAttention: gates from means for half of the channels, from normalised values for the rest.

All channels are shuffled afterwards.

Zhang and Yang, "SA-Net: Shuffle Attention for Deep Convolutional Neural Networks", ICASSP 2021,
https://arxiv.org/abs/2102.00240, equations 1 to 3. Channels form G groups of 2 m, and all groups
share the parameters, of m values each. With GN a group norm of m groups of one channel,

    first half of a group:  y = x * sigmoid(cw * mean + cb)
    second half:            y = x * sigmoid(sw * GN(x) + sb)
    out channel 2 i + j = y channel j * C / 2 + i, i below C / 2 and j 0 or 1

cw and sw start at 0, cb and sb at 1: at first the module is that permutation times sigmoid(1) =
0.731.

Choices: 8 groups or the most that fit (the authors' 64 need a multiple of 128 channels). The four
raw parameters are gains and biases: optimisers should not decay them, and must not omit them.

Cost: 3 C / G parameters. The operations below move 12 map sizes forward and 38 with backward, and
keep 2 for backward; fast/shuffle_attention.py keeps one.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -3.70 (-9.93 to +2.52), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.60 (-3.61 to +2.41), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -7.47 (-11.47 to -3.48), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.62 (-1.54 to +2.79), 3 seeds.
- bccd, fine-tuned from COCO, 24 epochs, paper start: hurts, -2.56 (-4.09 to -1.03), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import choose_divisor
from models.attention._numerics import wide
from models.attention._registry import IGNORED, register
from models.attention.fast import use_fast
from models.attention.fast.shuffle_attention import fast_shuffle_attention

USUAL_GROUPS = 8


@register("SALayer", "sa_layer")
class ShuffleAttention(nn.Module):
    """Scales and shuffles channels in groups.

    groups is the number of groups; None means 8, or the largest divisor of half the channels below
    it. Raises ValueError for an odd number of channels, or groups that do not divide half of them.
    """

    tutorial_order = ("groups",)
    other_orders = ((IGNORED, "groups"),)  # the first is a reduction that no formula reads
    usual_values = (8, 16, 32, 64)

    def __init__(self, channels: int, *, groups: int | None = None) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(
                f"channels={channels}: ShuffleAttention halves them, so their number must be even"
            )
        what = f"half of {channels} channels"
        self.groups = choose_divisor("groups", groups, channels // 2, USUAL_GROUPS, what)
        half = channels // (2 * self.groups)
        self.cweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.cbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.sweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.sbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.gn = nn.GroupNorm(half, half)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x; the gates are computed in float32."""
        if use_fast(x):
            return fast_shuffle_attention(x, self.gn.eps, *self.affine_gates(wide(x.dtype)))
        full = x.to(wide(x.dtype)).unflatten(1, (self.groups, 2, -1))  # [B, G, 2, m, H, W]
        first, second = full.unbind(2)  # [B, G, m, H, W] each
        mean = first.mean((3, 4), keepdim=True)  # [B, G, m, 1, 1]
        first = first * torch.addcmul(self.cbias, self.cweight, mean).sigmoid()  # equation 1
        # Not GroupNorm's own forward, which refuses a single value.
        channels = second.flatten(0, 1)  # [B * G, m, H, W]
        weight, bias = (one.to(full.dtype) for one in (self.gn.weight, self.gn.bias))
        normal = torch.group_norm(channels, self.gn.num_groups, weight, bias, self.gn.eps)
        gate = torch.addcmul(self.sbias, self.sweight, normal).sigmoid()  # equation 2
        second = (channels * gate).view_as(first)
        y = torch.stack((first, second), 2).flatten(1, 3)  # [B, C, H, W]
        return y.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2).to(x.dtype)

    def affine_gates(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Return scale, slope and shift, [1, C, 1, 1] each, a form that both gates share.

        Every gate is sigmoid(scale * normalised x + slope * mean + shift), where scale is 0 in the
        first half of a group, and slope in the second.
        """
        weight, bias = self.gn.weight.view_as(self.sweight), self.gn.bias.view_as(self.sweight)
        zero = torch.zeros_like(weight)
        halves = (
            (zero, self.sweight * weight),
            (self.cweight, zero),
            (self.cbias, self.sweight * bias + self.sbias),
        )
        scale, slope, shift = (
            torch.cat(pair, 1).to(dtype).repeat(1, self.groups, 1, 1) for pair in halves
        )
        return scale, slope, shift

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
