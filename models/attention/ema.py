"""EMA, efficient multi-scale attention: one gate for each group of channels.

It is not the moving average of weights, which has the same abbreviation.

Ouyang, He, Zhang, Luo, Guo, Zhan and Huang, "Efficient Multi-Scale Attention Module with
Cross-Spatial Learning", ICASSP 2023, https://arxiv.org/abs/2305.13563, figure 3. Channels form G
groups of m. With the map t of a group, [m, H, W], and parameters that all groups share,

    [a; b] = conv1x1([mean of t over W; mean of t over H])
    x1 = group norm of t * sigmoid(a) * sigmoid(b), with a channel as a group
    x2 = conv3x3(t)
    gate = sigmoid(softmax(mean of x1) . x2 + softmax(mean of x2) . x1)
    out = t * gate

where means are over a map, and softmaxes and products over the m channels.

Choices: 32 groups as in the authors' code (8 in older copies), or the most below that divide the
channels.

Cost: 10 m^2 + 4 m parameters, 672 at 256 channels. The operations below move 23 map sizes forward
and 88 with backward, and keep 5.2 for backward; fast/ema.py keeps little more than one.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.77 (-5.33 to +6.87), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.82 (-4.84 to +1.19), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.22 (-3.65 to +3.21), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.52 (-1.65 to +2.69), 3 seeds.
- bccd, from scratch, 30 epochs, the five best, paper start: no evidence, +0.37 (-2.57 to +3.31), 3
  seeds.
"""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor, nn

from models.attention._checks import choose_divisor
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.ema import fast_ema

USUAL_FACTOR = 32


@register("EMAttention", "EMA_Attention", "EMA_attention")
class EMA(nn.Module):
    """Scales the positions of each group of channels.

    factor is the number of groups; None means 32, or the largest divisor of the channels below it.
    Raises ValueError for a factor that does not divide the channels.
    """

    tutorial_order = ("factor",)
    usual_values = (8, 16, 32, 64)
    list_defaults = MappingProxyType({"factor": 8})  # of most public copies

    def __init__(self, channels: int, *, factor: int | None = None) -> None:
        super().__init__()
        what = f"the {channels} channels"
        self.factor = choose_divisor("factor", factor, channels, USUAL_FACTOR, what)
        members = channels // self.factor
        self.gn = nn.GroupNorm(members, members)
        self.conv1x1 = nn.Conv2d(members, members, 1)
        self.conv3x3 = nn.Conv2d(members, members, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if use_fast(x):
            return fast_ema(x, self.gn, self.conv1x1, self.conv3x3)
        groups = x.unflatten(1, (self.factor, -1))  # [B, G, m, H, W]
        t = groups.flatten(0, 1)  # [N, m, H, W] with N = B * G
        # The paper joins both means to one map for conv1x1. Its result is the same for each alone,
        # and for m = 1 the inductor of PyTorch 2.13 and 2.14 gets the gradient of the joined one
        # wrong.
        rows = self.conv1x1(t.mean(3, keepdim=True)).sigmoid()  # [N, m, H, 1]
        columns = self.conv1x1(t.mean(2, keepdim=True)).sigmoid()  # [N, m, 1, W]
        x1 = self.gn(t * rows * columns)  # [N, m, H, W]
        x2 = self.conv3x3(t)  # [N, m, H, W]
        share1, share2 = (one.mean((2, 3), keepdim=True).softmax(1) for one in (x1, x2))
        gate = (share1 * x2 + share2 * x1).sum(1, keepdim=True).sigmoid()  # [N, 1, H, W]
        gate = gate.to(x.dtype).unflatten(0, (-1, self.factor))  # [B, G, 1, H, W]
        return (groups * gate).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"factor={self.factor}"
