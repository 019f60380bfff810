"""FocalModulation: each position is multiplied by a summary of its surroundings, from near to far.

Yang, Li, Dai and Gao, "Focal Modulation Networks", NeurIPS 2022, https://arxiv.org/abs/2203.11926,
equations 3 to 5. f is linear at each position and gives a query, a context and L + 1 gates, of C, C
and L + 1 channels. With depthwise convolutions of k_l = focal_window + focal_factor * l positions,

    z_0 = the context,  z_l+1 = gelu(conv_l z_l) for l = 0 ... L - 1
    m = sum over l of gate_l z_l+1, and gate_L gelu(mean of z_L over the map)
    out = proj(query * h(m))

where h and proj are linear at each position.

[B, C, H, W] -> [B, C, H, W]. Cost: 4 C^2 + (L + 5) C + L + 1 + C * (sum of k_l^2) parameters,
272,643 at 256 channels and two levels. Kept for backward: 10 maps, where the common form for tokens
also copies maps between layouts.

Choices, as in the authors' code: gates have no activation, and may be negative; normalize_modulator
divides m by L + 1; postln normalises query * h(m) over the channels. There is no residual inside,
and at first the output is about a twentieth of the input.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -11.20 (-22.16 to -0.24), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +0.65 (-2.36 to +3.66), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -11.50 (-14.89 to -8.10), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, -0.72 (-3.04 to +1.60), 3 seeds.
- bccd, fine-tuned from COCO, 24 epochs, paper start: hurts, -4.61 (-6.30 to -2.93), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_flag, check_odd
from models.attention._maps import apply_at_positions
from models.attention._numerics import convolve_row, wide
from models.attention._registry import register


class _Level(nn.Sequential):
    """A depthwise convolution and its activation."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        convolution, activation = self
        assert isinstance(convolution, nn.Conv2d)
        return activation(convolve_row(convolution, x))


@register("Focal_Modulation")
class FocalModulation(nn.Module):
    """Replaces each position by a product of itself and its surroundings.

    Args:
        channels: C, of the map.
        focal_window: side of the first level's kernel in positions, odd.
        focal_level: L, the number of levels but the whole map.
        focal_factor: by how many positions each level's kernel is wider than that of the level
            before, even.
        normalize_modulator: whether to take the mean over levels instead of the sum.
        postln: whether to normalise over the channels before the last layer.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("focal_window", "focal_level", "focal_factor")
    usual_values = (9, 11)

    def __init__(
        self,
        channels: int,
        *,
        focal_window: int = 3,
        focal_level: int = 2,
        focal_factor: int = 2,
        normalize_modulator: bool = False,
        postln: bool = False,
    ) -> None:
        super().__init__()
        check_odd("focal_window", focal_window)
        check_count("focal_level", focal_level)
        if check_count("focal_factor", focal_factor, 2) % 2:
            raise ValueError(f"focal_factor={focal_factor}: must be even, to keep kernels odd")
        self.levels = focal_level
        self.normalize_modulator = check_flag("normalize_modulator", normalize_modulator)
        self.f = nn.Linear(channels, 2 * channels + focal_level + 1)
        self.h = nn.Conv2d(channels, channels, 1)
        self.proj = nn.Linear(channels, channels)
        sides = [focal_window + focal_factor * level for level in range(focal_level)]
        self.focal_layers = nn.ModuleList(level_layer(channels, side) for side in sides)
        self.ln = nn.LayerNorm(channels) if check_flag("postln", postln) else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        channels = x.shape[1]
        query, context, gates = apply_at_positions(self.f, x).split(
            (channels, channels, self.levels + 1), 1
        )
        out = query * self.h(self.modulator(context, gates))
        if self.ln is not None:
            out = self.ln(out.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).to(out.dtype)
        return apply_at_positions(self.proj, out).to(x.dtype)

    def modulator(self, context: Tensor, gates: Tensor) -> Tensor:
        """m: context, [B, C, H, W], and gates, [B, L + 1, H, W], -> [B, C, H, W]."""
        total = torch.zeros_like(context[:, :1, :1, :1])
        for layer, gate in zip(self.focal_layers, gates.split(1, 1), strict=False):
            context = layer(context)
            total = torch.addcmul(total, context, gate)
        whole = context.mean((2, 3), keepdim=True, dtype=wide(context.dtype))  # [B, C, 1, 1]
        total = torch.addcmul(total, F.gelu(whole).to(context.dtype), gates[:, -1:])
        return total / (self.levels + 1) if self.normalize_modulator else total


def level_layer(channels: int, side: int) -> nn.Sequential:
    """Return a level's depthwise convolution and activation, [B, C, H, W] -> [B, C, H, W]."""
    convolution = nn.Conv2d(
        channels, channels, side, padding=side // 2, groups=channels, bias=False
    )
    return _Level(convolution, nn.GELU())
