"""SimAM: a weight for every position, from how far it stands out of its own channel.

Yang, Zhang, Li and Xie, "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
Networks", ICML 2021, https://proceedings.mlr.press/v139/yang21o.html. The minimal energy of a
neuron t (equation 5) is

    e = 4 (v + l) / ((t - m)^2 + 2 v + 2 l)

with the mean m and the variance v of its channel. The gate is sigmoid(1 / e), and
1 / e = (t - m)^2 / (4 (v + l)) + 0.5 exactly. [B, C, H, W] keeps its shape, and the output is 0.62
to 1 times the input.

The paper divides the sum of v by H * W. The authors' code divides it by H * W - 1; trained models
rely on that, so it is done here. A map of one position is divided by 1 instead of 0 and gets the
paper's limit, sigmoid(0.5).

Cost: no parameters. The operations below move 15 map sizes of memory forward and 53 with backward,
and keep 4 for backward; fast/simam.py keeps one.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.19 (-5.96 to +6.34), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.30 (-4.31 to +1.71), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.16 (-3.55 to +3.24), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.77 (-1.39 to +2.92), 3 seeds.
- SimAM at inside.C3, bccd, fine-tuned from COCO, 8 epochs, inside C3, paper start: no evidence,
  -1.05 (-3.88 to +1.78), 3 seeds.
- bccd, from scratch, 30 epochs, paper start: no evidence, -0.67 (-2.88 to +1.55), 3 seeds.
- bccd, from scratch, 12 epochs, paper start: no evidence, +1.18 (-4.80 to +7.16), 5 seeds.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.simam import fast_simam


@register("SimAMAttention", "simam")
class SimAM(nn.Module):
    """Scales each position by a gate without parameters.

    e_lambda is the l above, which keeps 1 / e finite in flat channels: 1e-4 in detectors, 0.1 in
    the paper's ImageNet runs. Raises ValueError for an e_lambda that is not above 0, or that is 8
    or more, which must be a channel count.
    """

    def __init__(self, channels: int, *, e_lambda: float = 1e-4) -> None:
        super().__init__()
        is_number = isinstance(e_lambda, (int, float)) and not isinstance(e_lambda, bool)
        if not is_number or not math.isfinite(e_lambda) or e_lambda <= 0:
            raise ValueError(f"e_lambda={e_lambda!r}: must be a number above 0, such as 1.0e-4")
        if e_lambda >= 8:
            raise ValueError(
                f"e_lambda={e_lambda!r}: looks like a channel count; write {{e_lambda: 1.0e-4}}"
            )
        self.e_lambda = float(e_lambda)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if use_fast(x, positions=2):
            return fast_simam(x, self.e_lambda)
        t = x.to(wide(x.dtype))  # [B, C, H, W]; squares overflow half precision
        others = max(x.shape[2] * x.shape[3] - 1, 1)
        squares = (t - t.mean((2, 3), keepdim=True)).square()  # [B, C, H, W], (t - m)^2
        variance = squares.sum((2, 3), keepdim=True) / others  # [B, C, 1, 1]
        inverse_energy = squares * (0.25 / (variance + self.e_lambda)) + 0.5
        return x * inverse_energy.sigmoid().to(x.dtype)

    def extra_repr(self) -> str:
        return f"e_lambda={self.e_lambda:g}"
