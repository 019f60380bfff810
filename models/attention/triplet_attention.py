"""TripletAttention: the mean of three gates, each over two of the axes channel, row and column.

Misra, Nalamada, Arasanipalai and Hou, "Rotate to Attend: Convolutional Triplet Attention Module",
WACV 2021, https://arxiv.org/abs/2010.03045, section 3. Z-pool along one axis gives two planes,
maximum and mean. A convolution 2 -> 1 without bias, batch norm and a sigmoid turn them into the
gate of that axis:

    cw: pooled over rows, plane [C, W]
    hc: pooled over columns, plane [H, C]
    hw: pooled over channels, plane [H, W]
    out = x * (gate_cw + gate_hc + gate_hw) / 3, or x * (gate_cw + gate_hc) / 2 with no_spatial

Choices: the authors rotate the map so that the pooled axis is the first, and back. Reducing along
the axis itself gives the same numbers and gradients without four copies. Values equal to the
maximum share its gradient in equal parts, where the authors' code gives it to one of them. Batch
norm has their momentum, 0.01; a plane of a single value is normalised by the running statistics in
training.

Cost: 6 k^2 + 6 parameters, 300 at 7x7, at any width. The operations below move 15 map sizes forward
and 61 with backward, and keep 2.3 for backward; fast/triplet_attention.py keeps one.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -1.03 (-7.19 to +5.12), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.12 (-4.14 to +1.90), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -2.08 (-5.54 to +1.38), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.08 (-2.08 to +2.24), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_flag, check_odd
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.triplet_attention import fast_triplet_attention


@register("TripletAtt", "Triplet", "TripleAttention")
class TripletAttention(nn.Module):
    """Scales the map by the mean of its gates.

    Args:
        channels: of the map; the parameters do not depend on it.
        no_spatial: whether to omit the gate of the plane [H, W].
        kernel_size: side of the convolutions in positions, odd; 7 in the paper.

    Raises:
        ValueError: no_spatial is not true or false, or kernel_size is not an odd number from 1 on.
    """

    tutorial_order = ("no_spatial", "kernel_size")

    def __init__(self, channels: int, *, no_spatial: bool = False, kernel_size: int = 7) -> None:
        super().__init__()
        check_odd("kernel_size", kernel_size)
        self.no_spatial = check_flag("no_spatial", no_spatial)
        self.cw = _Gate(kernel_size)
        self.hc = _Gate(kernel_size)
        if not no_spatial:
            self.hw = _Gate(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x; planes are in float32 at least."""
        gates = {"cw": self.cw, "hc": self.hc}
        if not self.no_spatial:
            gates["hw"] = self.hw
        if use_fast(x):
            return fast_triplet_attention(x, gates)
        total = self.cw(z_pool(x, 2)).squeeze(1)[:, :, None, :]  # [B, C, 1, W]
        rotated = self.hc(z_pool(x, 3).transpose(2, 3))  # [B, 1, H, C]
        total = total + rotated.squeeze(1).transpose(1, 2)[:, :, :, None]  # [B, C, H, W]
        if not self.no_spatial:
            total = total + self.hw(z_pool(x, 1))  # [B, 1, H, W] spreads over the channels
        return x * (total / len(gates)).to(x.dtype)


def z_pool(x: Tensor, axis: int) -> Tensor:
    """Maximum and mean of x along an axis, [B, 2, ., .] in float32 at least."""
    full = wide(x.dtype)
    return torch.stack((x.amax(axis).to(full), x.mean(axis, dtype=full)), 1)


class _Gate(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(kernel_size)

    def forward(self, plane: Tensor) -> Tensor:
        """Maximum and mean [B, 2, P, Q] -> gate [B, 1, P, Q]."""
        return self.conv(plane).sigmoid()


class _ConvNorm(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, plane: Tensor) -> Tensor:
        """[B, 2, P, Q] in any type -> [B, 1, P, Q]."""
        return apply_batch_norm(self.bn, self.conv(plane.to(self.conv.weight.dtype)))
