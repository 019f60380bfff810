"""SimAM: a weight for every single position, from how far it stands out of its own channel; no parameters.

Yang, Zhang, Li and Xie, "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks",
ICML 2021, https://proceedings.mlr.press/v139/yang21o.html. A neuron t's minimal energy (equation 5 there) is
e = 4 (v + l) / ((t - m)^2 + 2 v + 2 l) with the mean m and variance v of its channel. The gate is sigmoid(1 / e), and
1 / e = (t - m)^2 / (4 (v + l)) + 0.5 exactly.

Cost: no parameters and no multiply-adds that a FLOP counter sees, but about 15 map sizes of memory traffic forward and
55 with backward, where a convolution's activation has 2 and 5. Values lie in 0.62 x to 1 x of the input.
Verdict: not yet measured.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.attention._registry import register


@register()
class SimAM(nn.Module):
    """e_lambda: the l above, which keeps flat channels finite; 1e-4 in detectors, 0.1 in the paper's ImageNet runs.

    Raises ValueError for an e_lambda that is not above 0, or so large (8 and more) that it must be a channel count.
    """

    def __init__(self, channels: int, *, e_lambda: float = 1e-4) -> None:
        super().__init__()
        is_number = isinstance(e_lambda, (int, float)) and not isinstance(e_lambda, bool)
        if not is_number or not math.isfinite(e_lambda) or e_lambda <= 0:
            raise ValueError(f"e_lambda={e_lambda!r}: must be a number above 0, such as 1.0e-4")
        if e_lambda >= 8:
            raise ValueError(f"e_lambda={e_lambda!r}: looks like a channel count; write {{e_lambda: 1.0e-4}}")
        self.e_lambda = float(e_lambda)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type; statistics are float32, since squares overflow half precision.

        The variance divides by H * W - 1 as the authors' code does, by 1 on a map of one position.
        """
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        others = max(x.shape[2] * x.shape[3] - 1, 1)
        deviation = (wide - wide.mean((2, 3), keepdim=True)).square()
        variance = deviation.sum((2, 3), keepdim=True) / others
        inverse_energy = deviation * (0.25 / (variance + self.e_lambda)) + 0.5
        return x * inverse_energy.sigmoid().to(x.dtype)

    def extra_repr(self) -> str:
        return f"e_lambda={self.e_lambda:g}"
