"""Geometry of augmentation: sizes, letterbox, affine draws, and what they do to boxes and polygons.
No pixels here.

Sizes come from data/index.py; data/augment.py and data/mix.py apply the same numbers to pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from utils.config import Hyperparameters

Size = tuple[int, int]  # (height, width), pixels
POLYGON_POINTS = 1000  # samples along a polygon when its part inside the image is measured
MIN_SIDE_PX = 2
MAX_ASPECT = 100


class Uniform(Protocol):
    """What a draw needs of a generator; numpy's and Python's both have it."""

    def uniform(self, low: float, high: float) -> float: ...


def resized_size(size: Size, imgsz: int) -> Size:
    """Size of a image brought to a long side of imgsz, its proportions kept; fractions are
    rounded up.
    """
    ratio = imgsz / max(size)
    return (math.ceil(size[0] * ratio), math.ceil(size[1] * ratio)) if ratio != 1 else size


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where a image comes to lie in its frame, pixels.

    size: (height, width) of the frame. inner: (height, width) of the resized image. corner: (top,
    left) of it in the frame. ratio: (x, y) factors. pad: (x, y) unrounded, so that box_in_frame =
    box * ratio + pad.
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
    fill: bool = False,
    scale_up: bool = True,
    stride: int = 32,
) -> Letterbox:
    """Fit a image of size into target with grey borders on both sides.

    auto: only so much border as makes both sides multiples of stride. fill: stretch, no border.
    scale_up: False keeps a smaller image at its size.
    """
    height, width = (target, target) if isinstance(target, int) else target
    ratio = min(height / size[0], width / size[1])
    ratio = ratio if scale_up else min(ratio, 1.0)
    inner = (
        max(round(size[0] * ratio), 1),
        max(round(size[1] * ratio), 1),
    )  # a line of pixels stays one
    spare_y, spare_x = height - inner[0], width - inner[1]
    ratios = (ratio, ratio)
    if auto:
        spare_y, spare_x = spare_y % stride, spare_x % stride
    elif fill:
        inner, spare_y, spare_x, ratios = (height, width), 0, 0, (width / size[1], height / size[0])
    pad_x, pad_y = spare_x / 2, spare_y / 2
    return Letterbox(
        size=(inner[0] + spare_y, inner[1] + spare_x),
        inner=inner,
        corner=(
            round(pad_y - 0.1),
            round(pad_x - 0.1),
        ),  # of an odd border the extra row goes to the far side
        ratio=ratios,
        pad=(pad_x, pad_y),
    )


def rect_shapes(
    sizes: np.ndarray, batch_size: int, grid: tuple[int, int, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Group images of like proportions, and give each batch the smallest frame that holds them.

    sizes: [n, 2] (height, width). grid: (imgsz, stride, pad), pad in strides. Returns order [n],
    the images' numbers from wide to tall, and shapes [batches, 2] (height, width); image
    order[k] belongs to batch k // batch_size.
    """
    imgsz, stride, pad = grid
    aspect = sizes[:, 0] / sizes[:, 1]
    order = np.argsort(aspect, kind="stable")
    shapes = []
    for start in range(0, len(order), batch_size):
        part = aspect[order[start : start + batch_size]]
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

    perspective: (x, y) per pixel. angle: degrees. scale: factor. shear: (x, y) degrees. translate:
    where the middle goes, (x, y) shares of the output. The default is the identity when input and
    output have the same size.
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
        """[3, 3] float64 taking (x, y, 1) of a image of size source to one of size output: T S R
        P C.

        C puts the middle at 0, P bends, R turns and scales, S shears, T puts the middle at
        translate.
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
    """Draw the eight numbers of an Affine from rng, in this order: perspective, angle, scale,
    shear, translate.
    """
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
    """Take points [..., 2] through a [3, 3] matrix, with the division if it is a perspective one."""
    mapped = points @ matrix[:2, :2].T + matrix[:2, 2]
    if matrix[2, 0] or matrix[2, 1]:
        mapped /= points @ matrix[2, :2, None] + matrix[2, 2]
    return mapped


def map_boxes(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The upright hull of each box [N, 4] after the map, [N, 4] xyxy, not clipped."""
    corners = map_points(
        boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2).astype(np.float64), matrix
    )
    return np.concatenate([corners.min(1), corners.max(1)], axis=1).astype(np.float32)


def clip_boxes(boxes: np.ndarray, size: Size) -> np.ndarray:
    """Boxes [N, 4] cut to a image of (height, width)."""
    limit = np.array([size[1], size[0], size[1], size[0]], dtype=np.float32)
    return np.minimum(np.maximum(boxes, 0), limit)


def polygon_boxes(
    points: np.ndarray, counts: np.ndarray, matrix: np.ndarray, size: Size
) -> np.ndarray:
    """The hull [N, 4] float32 xyxy of the part of each mapped polygon that lies in a image of
    (height, width).

    points: [Q, 2], the corners of N polygons one after the other, counts: [N] how many each has, at
    least 1, both in the image that matrix [3, 3] starts from. A hull is that of those of
    POLYGON_POINTS samples, evenly spaced by corner number along the closed outline, that come to
    lie in the image; zeros if none does. The samples are never made: along an edge coordinates
    are monotone, so that only the first and the last sample inside count, and where an edge enters
    and leaves is linear in homogeneous coordinates.
    """
    if not len(counts):
        return np.zeros((0, 4), dtype=np.float32)
    owner = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    corners = points @ matrix[:, :2].T + matrix[:, 2]  # [edges, 3]; edge k starts at corner k
    following = np.arange(1, len(corners) + 1)
    following[starts + counts - 1] = starts  # the outline is closed
    number = np.arange(len(corners)) - starts[owner]
    density = ((POLYGON_POINTS - 1) / counts)[owner]
    enter, leave = _edge_inside(corners, corners[following], size)
    first = np.ceil((number + enter) * density - 1e-9)
    last = np.floor((number + leave) * density + 1e-9)
    share = np.stack([first, last], 1) / density[:, None] - number[:, None]
    ends = corners[:, None] + share[..., None] * (corners[following] - corners)[:, None]
    empty = ((first > last) | (enter > leave))[:, None, None]
    points = ends[..., :2] / np.where(empty, 1.0, ends[..., 2:])
    low = np.minimum.reduceat(np.where(empty, np.inf, points).min(1), starts)
    high = np.maximum.reduceat(np.where(empty, -np.inf, points).max(1), starts)
    return np.where(low[:, [0, 0, 0, 0]] < np.inf, np.concatenate([low, high], axis=1), 0.0).astype(
        np.float32
    )


def _edge_inside(start: np.ndarray, end: np.ndarray, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Shares [E], [E] of the way from start to end [E, 3] (homogeneous) at which an edge enters and
    leaves the image.

    Enter is above leave where no part is inside. After Liang and Barsky, ACM ToG 3(1), 1984.
    """
    frame = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, size[1]], [0, -1, size[0]]], dtype=np.float64)
    at_start, at_end = start @ frame.T, end @ frame.T  # [E, 4], inside where all are >= 0
    crossing = at_start / np.where(at_start == at_end, 1.0, at_start - at_end)
    enter = np.where(at_start < 0, np.where(at_end < 0, 2.0, crossing), 0.0).max(1)
    leave = np.where((at_end < 0) & (at_start >= 0), crossing, 1.0).min(1)
    return enter, leave


def box_candidates(before: np.ndarray, after: np.ndarray, area_share: float = 0.1) -> np.ndarray:
    """Which boxes are still worth learning after a transform, [N] bool.

    before: [N, 4] xyxy at the new scale. after: [N, 4] clipped. Kept: both sides above 2 px, more
    than area_share of the area left, aspect ratio below 100.
    """
    width, height = after[:, 2] - after[:, 0], after[:, 3] - after[:, 1]
    area = (before[:, 2] - before[:, 0]) * (before[:, 3] - before[:, 1])
    tiny = 1e-16
    aspect = np.maximum(width / (height + tiny), height / (width + tiny))
    large = (width > MIN_SIDE_PX) & (height > MIN_SIDE_PX)
    return large & (width * height / (area + tiny) > area_share) & (aspect < MAX_ASPECT)
