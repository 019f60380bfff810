"""SGE, spatial group-wise enhance: a gate for each position of each group of channels, from how
well the position agrees with the group's mean.

Li, Hu and Yang, "Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional
Networks", 2019, https://arxiv.org/abs/1905.09646, equations 1 to 5. With the mean vector g of a
group over the map, and the position's vector x_p in that group,

    c_p = g . x_p
    out_p = x_p * sigmoid(weight * (c_p - mean of c) / (deviation of c + 1e-5) + bias)

with a weight and a bias for each group. [B, C, H, W] keeps its shape.

Choices where code and paper differ, and among copies:

- The authors' code divides the squares of c by H * W - 1, the paper by H * W. In the code, weights
  start at 0 and biases at 1, so that a new module returns 0.73 x; in YOLO's public code biases
  start at 0. Here it is as in the authors' code, but a map of one position is divided by 1
  instead of 0.
- The authors' code has 64 groups by default, and fails unless that divides the channels. Here the
  default is then the largest divisor below it that leaves groups of 4, since a group of one channel
  only agrees with itself. In lists of YAML it is 8, as in the copies.

Cost: 2 parameters for each group.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.33 (-5.82 to +6.47), 3 seeds.
"""

from __future__ import annotations

from types import MappingProxyType

import torch
from torch import Tensor, nn

from models.attention._checks import choose_divisor
from models.attention._numerics import wide
from models.attention._registry import IGNORED, register
from models.attention.fast.gates import pool, scale

USUAL_GROUPS, LEAST_MEMBERS = 64, 4
SMALLEST_DEVIATION = 1e-5


@register("SpatialGroupEnhance")
class SGE(nn.Module):
    """Scales the positions of each group of channels.

    groups is their number; None means 64 or, if 64 does not divide the channels, the largest
    divisor below it that leaves 4 in a group. Raises ValueError for a number that does not divide
    the channels.
    """

    tutorial_order = ("groups",)
    other_orders = (("groups", IGNORED),)  # [8, 0.5] of a public graph, whose 0.5 means nothing
    usual_values = (8, 16, 32, 64)
    list_defaults = MappingProxyType({"groups": 8})  # of the public copies

    def __init__(self, channels: int, *, groups: int | None = None) -> None:
        super().__init__()
        fewer = max(1, min(USUAL_GROUPS, channels // LEAST_MEMBERS))
        usual = fewer if channels % USUAL_GROUPS else USUAL_GROUPS
        self.groups = choose_divisor("groups", groups, channels, usual, f"the {channels} channels")
        self.weight = nn.Parameter(torch.zeros(1, self.groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, self.groups, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        parts = x.unflatten(1, (self.groups, -1))  # [B, G, C / G, H, W]
        t = self.normalised(x, parts)  # [B, G, H, W]
        gate = (t * self.weight.to(t.dtype) + self.bias.to(t.dtype)).sigmoid()
        return scale(parts, gate[:, :, None]).flatten(1, 2)

    def normalised(self, x: Tensor, parts: Tensor) -> Tensor:
        """c above with mean 0 and deviation 1, [B, G, H, W], in float32 at least."""
        means = pool(x).to(wide(x.dtype)).unflatten(1, (self.groups, -1))
        agreement = (parts * means).sum(2)  # [B, G, H, W], c; it overflows half precision
        agreement = agreement - agreement.mean((2, 3), keepdim=True)
        correction = int(x.shape[2] * x.shape[3] > 1)  # no variance is defined for one position
        deviation = agreement.std((2, 3), correction=correction, keepdim=True)
        return agreement / (deviation + SMALLEST_DEVIATION)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
