"""Image sizes that a network accepts: sides are multiples of its largest stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from utils.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

LONGEST_SIDE = 2**15  # pixels; OpenCV resizes no larger image
COARSEST_STRIDE = 32  # of YOLOv5's graphs; finer graphs use it too, so that sizes stay comparable


def whole_side(side: int, stride: int) -> int:
    """The least multiple of stride that is not below side, both in pixels."""
    return -(-side // stride) * stride


def check_sides(sides: Sequence[int]) -> None:
    """Raise UserError unless sides are what --imgsz takes: none, a side, or two; pixels."""
    if len(sides) > 2 or any(not 32 <= side <= LONGEST_SIDE for side in sides):
        raise UserError(
            f"--imgsz={sides}: takes a side, or height and width, of at least 32 pixels and at most"
            f" {LONGEST_SIDE}"
        )


def side_step(strides: Tensor | Sequence[float]) -> int:
    """The step in pixels to which a size that a user gives is rounded.

    strides: [levels] pixels per cell of a model's head.
    """
    return max(int(max(strides)), COARSEST_STRIDE)
