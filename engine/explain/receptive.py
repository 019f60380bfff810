"""The effective receptive field: which pixels a cell of a map really depends on.

Luo, Li, Urtasun and Zemel, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks", NIPS 2016, https://arxiv.org/abs/1701.04128: the gradient of a map's central
position with respect to the image, its size averaged over images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.explain.heat import record
from models.yolo import DetectionModel

SHARES = (0.5, 0.95)  # of the gradient, whose squares are told


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field of the central cell of one map.

    Attributes:
        row: Number of the row that makes the map.
        stride: Pixels per cell.
        map: [h, w] mean size of the gradient, the largest value 1.
        sides: For each of SHARES the side, in pixels, of the smallest square around the cell that
            holds that share of the gradient.
    """

    row: int
    stride: float
    map: Tensor
    sides: tuple[int, ...]


def receptive_fields(
    model: DetectionModel, images: Sequence[Tensor], rows: Sequence[int], side: int
) -> list[Field]:
    """Measure the fields of some rows over several images.

    Args:
        model: In evaluation mode.
        images: [1, C, h, w] each, in 0..1; they are resized to one square.
        rows: Numbers of the rows.
        side: Of the square in pixels, a multiple of the stride.
    """
    sums = {row: torch.zeros(side, side) for row in rows}
    strides = dict.fromkeys(rows, 1.0)
    for image in images:
        x = F.interpolate(image, (side, side), mode="bilinear", align_corners=False)
        with torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            maps = record(model, x, rows).maps
        for row, values in maps.items():
            height, width = values.shape[2:]
            centre = values[0, :, height // 2, width // 2].sum()
            (gradient,) = torch.autograd.grad(centre, x, retain_graph=True)
            sums[row] += gradient[0].abs().sum(0).float().cpu()
            strides[row] = side / height
    return [_field(row, strides[row], total) for row, total in sums.items()]


def _field(row: int, stride: float, total: Tensor) -> Field:
    # A convolution of stride 2 and padding 1 reads around pixel 2 j for its cell j, so that a cell
    # looks at its own first pixel.
    middle = int(total.shape[0] // stride // 2 * stride)
    sides = tuple(square_of(total, middle, share) for share in SHARES)
    return Field(row, stride, total / total.max().clamp(min=1e-12), sides)


def square_of(values: Tensor, middle: int, share: float) -> int:
    """The side of the smallest square around (middle, middle) that holds a share of the sum.

    Args:
        values: [n, n], not negative.
        middle: Its row and column.
        share: In 0..1.

    Returns:
        2 r in pixels, for the square from middle - r to middle + r; 0 if all values are 0.
    """
    total = float(values.sum())
    if total == 0:
        return 0
    for radius in range(1, len(values)):
        low, high = max(middle - radius, 0), middle + radius
        if float(values[low:high, low:high].sum()) >= share * total:
            return 2 * radius
    return 2 * len(values)
