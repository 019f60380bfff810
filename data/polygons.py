"""Boxes around the parts of polygons that stay inside the image after a map.

data/compose.py passes the outlines of all objects of a mosaic at once.
"""

from __future__ import annotations

import numpy as np

from data.geometry import Size

POLYGON_POINTS = 1000  # samples of an outline, as in YOLOv5


def polygon_boxes(
    points: np.ndarray, counts: np.ndarray, matrix: np.ndarray, size: Size
) -> np.ndarray:
    """The hull of the part of each mapped polygon that is inside the image.

    YOLOv5 samples each closed outline at POLYGON_POINTS places, evenly spaced by corner number,
    maps them, and takes the hull of the samples inside. Here the same hull is found without making
    the samples. The map takes an edge to a straight line, along which x and y only rise or only
    fall, so that of all samples inside only the first and the last can touch the hull:

        corner k  o------|-x--x--x--x--|---o  corner k+1      x  samples inside
                       enter         leave                    |  borders of the image

    Args:
        points: [Q, 2], the corners of N polygons one after the other.
        counts: [N], the corners of each polygon, at least 1.
        matrix: [3, 3], from the pixels of points to those of the image.
        size: (height, width) of the image, pixels.

    Returns:
        [N, 4] float32 xyxy; zeros for a polygon without a sample inside.
    """
    if not len(counts):
        return np.zeros((0, 4), dtype=np.float32)
    owner = np.repeat(np.arange(len(counts)), counts)
    starts = np.cumsum(counts) - counts
    # [edges, 3], edge k from corner k. They stay homogeneous, since after the division of a
    # perspective the samples along an edge would no longer be evenly spaced.
    corners = points @ matrix[:, :2].T + matrix[:, 2]
    following = np.arange(1, len(corners) + 1)
    following[starts + counts - 1] = starts  # the outline is closed
    # Sample s is at corner number s / density, so those between enter and leave are a range of s.
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
    """Where edges enter and leave the image, after Liang and Barsky, ACM ToG 3(1), 1984.

    Args:
        start: [E, 3], the first corner of each edge, homogeneous.
        end: [E, 3], the second corner.
        size: (height, width) of the image, pixels.

    Returns:
        enter [E] and leave [E], shares of the way from start to end. Enter is above leave where no
        part of the edge is inside.
    """
    frame = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, size[1]], [0, -1, size[0]]], dtype=np.float64)
    at_start, at_end = start @ frame.T, end @ frame.T  # [E, 4], inside where all are >= 0
    crossing = at_start / np.where(at_start == at_end, 1.0, at_start - at_end)
    enter = np.where(at_start < 0, np.where(at_end < 0, 2.0, crossing), 0.0).max(1)
    leave = np.where((at_end < 0) & (at_start >= 0), crossing, 1.0).min(1)
    return enter, leave
