"""Helpers that files of forks import from utils.* and ultralytics.utils.*."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.common import fuse_conv_bn

LOGGER = logging.getLogger("yolo")


def make_divisible(x: float, divisor: float | Tensor = 8) -> int:
    """The smallest multiple of a divisor that is not below x."""
    step = int(divisor.max()) if isinstance(divisor, Tensor) else divisor
    return int(math.ceil(x / step) * step)


def fuse_conv_and_bn(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """conv with bn folded into it; see fuse_conv_bn."""
    return fuse_conv_bn(conv, bn)


def make_anchors(
    feats: Sequence[Tensor], strides: Sequence[float] | Tensor, grid_cell_offset: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Centres of all cells and their strides.

    Args:
        feats: maps [B, C, H, W].
        strides: pixels per cell of each map.
        grid_cell_offset: of the centre from the cell's corner, in cells.

    Returns:
        (centres [N, 2] in cells, strides [N, 1]).
    """
    centres, steps = [], []
    for x, stride in zip(feats, strides, strict=False):
        height, width = x.shape[2:]
        rows = torch.arange(height, device=x.device).to(x.dtype) + grid_cell_offset
        columns = torch.arange(width, device=x.device).to(x.dtype) + grid_cell_offset
        y, x_centre = torch.meshgrid(rows, columns, indexing="ij")
        centres.append(torch.stack((x_centre, y), -1).view(-1, 2))
        steps.append(x.new_full((height * width, 1), float(stride)))
    return torch.cat(centres), torch.cat(steps)


def dist2bbox(distance: Tensor, anchor_points: Tensor, xywh: bool = True, dim: int = -1) -> Tensor:
    """Boxes from distances to their sides.

    Args:
        distance: left, top, right, bottom along dim.
        anchor_points: x, y along dim.
        xywh: whether centre, width and height are wanted, else two corners.
        dim: the dimension of the coordinates.

    Returns:
        Four coordinates along dim, in the units of the arguments.
    """
    before, after = distance.chunk(2, dim)
    low, high = anchor_points - before, anchor_points + after
    return torch.cat(((low + high) / 2, high - low) if xywh else (low, high), dim)


def bias_init_with_prob(prior_prob: float = 0.01) -> float:
    """The logit of a probability."""
    return math.log(prior_prob / (1 - prior_prob))


def initialize_weights(model: nn.Module) -> None:
    """Set the constants of YOLO's batch norms; weights keep PyTorch's start."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = 1e-3, 0.03


def time_sync() -> float:
    """Seconds, after all work of the accelerator has ended."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.time()


def colorstr(*words: object) -> str:
    """The last argument as text; the colours before it are left out."""
    return str(words[-1]) if words else ""


def check_version(*ignored: object, **options: object) -> bool:
    """True: requirements of a fork on its own packages do not matter here."""
    return True
