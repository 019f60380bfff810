"""Geometry of augmentation: sizes, letterbox, affine maps, and their effect on boxes and points.

This file handles no pixels: data/augment.py and data/compose.py apply the maps to images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from utils.config import Hyperparameters

Size = tuple[int, int]  # (height, width), pixels
MIN_SIDE_PX = 2  # a box is dropped if a side after augmentation is not longer than this
MAX_ASPECT = 100  # a box whose sides differ by this factor or more is dropped too


class Uniform(Protocol):
    """The part of a random generator that draw_affine needs; numpy's and Python's both fit."""

    def uniform(self, low: float, high: float) -> float: ...


def resized_size(size: Size, imgsz: int) -> Size:
    """Size of an image after its long side is scaled to imgsz; the other is rounded up."""
    ratio = imgsz / max(size)
    return (math.ceil(size[0] * ratio), math.ceil(size[1] * ratio)) if ratio != 1 else size


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image lies in its frame, so that box_in_frame = box * ratio + pad.

    Attributes:
        size: (height, width) of the frame, pixels.
        inner: (height, width) of the resized image, pixels.
        corner: (top, left) of the resized image in the frame, whole pixels.
        ratio: (x, y) factors from the image to the frame.
        pad: (x, y) of the same corner without rounding, pixels.
    """

    size: Size
    inner: Size
    corner: tuple[int, int]
    ratio: tuple[float, float]
    pad: tuple[float, float]


def plan_letterbox(
    size: Size,
    target: int | Size,
    *,
    auto: bool = False,
    scale_up: bool = True,
    stride: int = 32,
) -> Letterbox:
    """Fit an image into a frame, with equal borders on opposite sides.

    Args:
        size: (height, width) of the image, pixels.
        target: (height, width) of the frame, or its side if it is square, pixels.
        auto: Use the smallest border that makes both sides multiples of stride.
        scale_up: Enlarge an image that is smaller than the frame.
        stride: Stride for auto, pixels.

    Returns:
        The plan; its size is target unless auto is set.
    """
    height, width = (target, target) if isinstance(target, int) else target
    ratio = min(height / size[0], width / size[1])
    ratio = ratio if scale_up else min(ratio, 1.0)
    # A side of less than one pixel would leave nothing to resize.
    inner = (max(round(size[0] * ratio), 1), max(round(size[1] * ratio), 1))
    spare_y, spare_x = height - inner[0], width - inner[1]
    if auto:
        spare_y, spare_x = spare_y % stride, spare_x % stride
    pad_x, pad_y = spare_x / 2, spare_y / 2
    return Letterbox(
        size=(inner[0] + spare_y, inner[1] + spare_x),
        inner=inner,
        # The 0.1 puts the extra pixel of an odd border at the bottom or right, as in YOLOv5.
        corner=(round(pad_y - 0.1), round(pad_x - 0.1)),
        ratio=(ratio, ratio),
        pad=(pad_x, pad_y),
    )


def rect_shapes(
    sizes: np.ndarray, batch_size: int, grid: tuple[int, int, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Group images of similar proportions, and give each batch the smallest frame that holds them.

    Args:
        sizes: [n, 2] (height, width) of the images, pixels.
        batch_size: Images per batch.
        grid: (imgsz, stride, pad): the long side and the grid in pixels, the border in strides.

    Returns:
        order [n], the numbers of the images from wide to tall, and shapes [batches, 2] (height,
        width) in pixels. Image order[k] belongs to batch k // batch_size.
    """
    imgsz, stride, pad = grid
    aspect = sizes[:, 0] / sizes[:, 1]
    order = np.argsort(aspect, kind="stable")
    shapes = []
    for start in range(0, len(order), batch_size):
        part = aspect[order[start : start + batch_size]]
        # The tallest of wide images, or the widest of tall ones, sets the frame; mixed images get
        # a square.
        relative = (
            np.array([part.max(), 1.0])
            if part.max() < 1
            else np.array([1.0, 1 / max(part.min(), 1.0)])
        )
        shapes.append(np.ceil(relative * imgsz / stride + pad).astype(np.int64) * stride)
    return order, np.array(shapes, dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Affine:
    """One draw of the random affine or perspective map.

    The default is the identity where input and output have the same size.

    Attributes:
        perspective: (x, y) per pixel.
        angle: Degrees.
        scale: Factor.
        shear: (x, y) degrees.
        translate: Place of the input's centre in the output, (x, y) shares of its sides.
    """

    perspective: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    scale: float = 1.0
    shear: tuple[float, float] = (0.0, 0.0)
    translate: tuple[float, float] = (0.5, 0.5)

    @property
    def upright(self) -> bool:
        """Whether rectangles stay rectangles: only scale and translation."""
        return not (any(self.perspective) or self.angle or any(self.shear))

    def matrix(self, source: Size, output: Size) -> np.ndarray:
        """The map from an image of size source to one of size output, [3, 3] float64.

        It is T S R P C: C moves the centre to 0, P is the perspective, R rotates and scales, S
        shears, and T moves the centre to translate.
        """
        centre, bend, turn, skew, shift = np.eye(3), np.eye(3), np.eye(3), np.eye(3), np.eye(3)
        centre[0, 2], centre[1, 2] = -source[1] / 2, -source[0] / 2
        bend[2, 0], bend[2, 1] = self.perspective
        cosine, sine = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        turn[:2, :2] = np.array([[cosine, sine], [-sine, cosine]]) * self.scale
        skew[0, 1], skew[1, 0] = (math.tan(math.radians(angle)) for angle in self.shear)
        shift[0, 2], shift[1, 2] = self.translate[0] * output[1], self.translate[1] * output[0]
        return shift @ skew @ turn @ bend @ centre


def draw_affine(rng: Uniform, hyp: Hyperparameters) -> Affine:
    """Draw the eight numbers of an Affine."""
    # The draws are in YOLOv5's order, so that tests can compare them with YOLOv5's own numbers.
    perspective = (
        rng.uniform(-hyp.perspective, hyp.perspective),
        rng.uniform(-hyp.perspective, hyp.perspective),
    )
    angle = rng.uniform(-hyp.degrees, hyp.degrees)
    scale = rng.uniform(1 - hyp.scale, 1 + hyp.scale)
    shear = (rng.uniform(-hyp.shear, hyp.shear), rng.uniform(-hyp.shear, hyp.shear))
    low, high = 0.5 - hyp.translate, 0.5 + hyp.translate
    return Affine(
        perspective, angle, scale, shear, (rng.uniform(low, high), rng.uniform(low, high))
    )


def map_points(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map points [..., 2] by a [3, 3] matrix, with the division that a perspective needs."""
    mapped = points @ matrix[:2, :2].T + matrix[:2, 2]
    if matrix[2, 0] or matrix[2, 1]:
        mapped /= points @ matrix[2, :2, None] + matrix[2, 2]
    return mapped


def map_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The upright hull [N, 4] xyxy of each box [N, 4] after the map, not clipped."""
    corners = map_points(box_corners(boxes).astype(np.float64), matrix)
    return np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(np.float32)


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """The corners [N, 4, 2] of boxes [N, 4] xyxy, clockwise from the top left."""
    return boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)


def box_candidates(before: np.ndarray, after: np.ndarray, area_share: float = 0.1) -> np.ndarray:
    """Select the boxes that still show enough of their object after a transform.

    Args:
        before: [N, 4] xyxy before the transform, but multiplied by its scale.
        after: [N, 4] xyxy, clipped to the image.
        area_share: The share of the area that must be exceeded.

    Returns:
        [N] bool: more than area_share is left, both sides are longer than MIN_SIDE_PX, and they
        differ by less than a factor of MAX_ASPECT.
    """
    width, height = after[:, 2] - after[:, 0], after[:, 3] - after[:, 1]
    area = (before[:, 2] - before[:, 0]) * (before[:, 3] - before[:, 1])
    tiny = 1e-16
    aspect = np.maximum(width / (height + tiny), height / (width + tiny))
    large = (width > MIN_SIDE_PX) & (height > MIN_SIDE_PX)
    return large & (width * height / (area + tiny) > area_share) & (aspect < MAX_ASPECT)
