"""Sizes of images that a network can take: sides are whole multiples of its largest stride."""

from __future__ import annotations

from torch import Tensor

COARSEST_STRIDE = 32  # of YOLOv5's graphs; a finer one keeps it, so that sizes stay comparable


def whole_side(side: int, stride: int) -> int:
    """The least multiple of stride that is not below side, both in pixels."""
    return -(-side // stride) * stride


def side_step(strides: Tensor) -> int:
    """What sides of images are multiples of where a user gives a size.

    strides: [levels] pixels per cell of a model's head.
    """
    return max(int(strides.max()), COARSEST_STRIDE)
