"""GCT, gated channel transformation: channels compete or cooperate by the sizes of their maps.

Yang, Zhu, Wu and Yang, "Gated Channel Transformation for Visual Recognition", CVPR 2020,
https://arxiv.org/abs/1909.11519, section 3. For each channel c, with sums over its map,

    e_c = alpha_c sqrt(sum of x^2 + epsilon)
    n_c = gamma_c / sqrt(mean of e^2 over the channels + epsilon)
    out = x (1 + tanh(e_c n_c + beta_c))

With mode "l1", e_c = alpha_c sum of |x|, and n_c = gamma_c / (mean of |e| + epsilon).
[B, C, H, W] keeps its shape.

Choices: alpha starts at 1, gamma and beta at 0, as in the paper, so that a new module is the
identity. Where gamma grows positive, channels of large maps are raised above the others (they
compete); where it grows negative, differences are levelled. The norm is a sum and not a mean, so e
grows with the map; n takes that out again. The Gaussian Context Transformer, also called GCT, is
another module.

Cost: 3 C parameters; forward reads the map twice and writes it once; x alone is kept for backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.14 (-6.29 to +6.01), 3 seeds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.attention._checks import check_flag
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast.gates import scale

MODES = ("l2", "l1")


@register("GatedChannelTransformation", "GatedChannelTransform")
class GCT(nn.Module):
    """Scales each channel by a factor between 0 and 2, which is 1 at first.

    Args:
        channels: C, of the map.
        epsilon: added under both roots, or to the mean with mode "l1"; above 0.
        mode: "l2" for norms by squares, "l1" for sums of absolute values.
        after_relu: whether x is never negative, so that mode "l1" needs no absolute values.

    Raises:
        ValueError: epsilon is not a number above 0, mode is neither l1 nor l2, or after_relu is
            not true or false.
    """

    tutorial_order = ("epsilon", "mode", "after_relu")
    starts_as_identity = True

    def __init__(
        self, channels: int, *, epsilon: float = 1e-5, mode: str = "l2", after_relu: bool = False
    ) -> None:
        super().__init__()
        is_number = isinstance(epsilon, (int, float)) and not isinstance(epsilon, bool)
        if not is_number or not math.isfinite(epsilon) or epsilon <= 0:
            raise ValueError(f"epsilon={epsilon!r}: must be a number above 0, such as 1.0e-5")
        if mode not in MODES:
            raise ValueError(f"mode={mode!r}: must be {' or '.join(MODES)}")
        self.epsilon, self.mode = float(epsilon), mode
        self.after_relu = check_flag("after_relu", after_relu)
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x; norms are in float32 at least."""
        e = self.alpha * self.sizes(x)  # [B, C, 1, 1]
        if self.mode == "l2":
            typical = (e.square().mean(1, keepdim=True) + self.epsilon).sqrt()  # [B, 1, 1, 1]
        else:
            typical = e.abs().mean(1, keepdim=True) + self.epsilon
        gate = 1 + (e * (self.gamma / typical) + self.beta).tanh()  # [B, C, 1, 1]
        return scale(x, gate)

    def sizes(self, x: Tensor) -> Tensor:
        """The size of each map, [B, C, H, W] -> [B, C, 1, 1], in float32 at least."""
        full = wide(x.dtype)
        if self.mode == "l1":
            return (x if self.after_relu else x.abs()).sum((2, 3), keepdim=True, dtype=full)
        # A root of a sum of squares would keep the squares, a whole map, for backward.
        norm = torch.linalg.vector_norm(x, 2, (2, 3), keepdim=True, dtype=full)
        return (norm.square() + self.epsilon).sqrt()

    def extra_repr(self) -> str:
        return f"epsilon={self.epsilon:g}, mode={self.mode}, after_relu={self.after_relu}"
