"""Composition: tiles on a canvas, the map from it to the output, and the boxes still visible.

A mosaic has four or nine tiles, a single image one. If the map is upright, which is the usual case,
the visible part of each tile is resized directly into the output and the canvas is never made. A
tile of which nothing is visible is not read, so that it costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from data.augment import GREY, warp
from data.geometry import Affine, Size, box_candidates, map_boxes
from data.labelled import LabelledImage, Labels, Result, UnreadImage
from data.paste import copy_paste
from data.polygons import polygon_boxes
from utils.boxes import clip_boxes

# YOLOv5's least shares of an object's area that must stay visible. A polygon's hull fits its object
# after any map, so a smaller share is enough than for a rotated box, which holds more background.
POLYGON_AREA_SHARE, BOX_AREA_SHARE = 0.01, 0.1


@dataclass(frozen=True, slots=True)
class Tile:
    """An image and the (x, y) of its top left corner on a canvas, which clips it."""

    image: LabelledImage | UnreadImage
    origin: tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """The (height, width) of a canvas and of the output, and the map from one to the other."""

    canvas: Size
    output: Size
    affine: Affine


class Place(NamedTuple):
    """Columns and rows (first, one after the last) of a tile on the canvas, and in the output."""

    columns: tuple[int, int]
    rows: tuple[int, int]
    across: tuple[int, int]
    down: tuple[int, int]


def compose(tiles: Sequence[Tile], view: View, paste: tuple[float, int] = (0.0, 0)) -> Result:
    """Lay tiles on a canvas and map it to the output.

    The upright map is rounded so that the edges of tiles fall between pixels, which moves them by
    less than a pixel. Boxes move exactly as their pixels do.

    Args:
        tiles: The tiles; later ones cover earlier ones.
        view: The canvas, the output and the map.
        paste: Share of the objects and random seed of copy-paste.

    Returns:
        The output [H, W, 3], with the boxes and classes of which enough is visible.
    """
    if view.affine.upright and not (paste[0] and _are_outlined(tiles)):
        places = _place_tiles(tiles, view)
        tiles = [
            tile if place is None else _read(tile, place.rows[1])
            for tile, place in zip(tiles, places, strict=True)
        ]
        labels, lengths = _labels_on_canvas(tiles, view.canvas)
        image, maps = _resize_tiles(tiles, places, view.output)
        matrix, moved = None, _map_by_tile(labels, maps, lengths)
    else:
        tiles = [_read(tile, view.canvas[0]) for tile in tiles]
        labels, _ = _labels_on_canvas(tiles, view.canvas)
        image, labels = copy_paste(_lay_tiles(tiles, view.canvas), labels, *paste)
        matrix, moved = view.affine.matrix(view.canvas, view.output), labels
        image = warp(image, view.affine, view.output)
    return image, *_visible(labels, moved, matrix, view)


def _read(tile: Tile, bottom: int) -> Tile:
    """The tile with its pixels, down to this row of the canvas."""
    rows = min(bottom - tile.origin[1], tile.image.size[0])
    return replace(tile, image=tile.image.load(rows)) if rows > 0 else tile


def _are_outlined(tiles: Sequence[Tile]) -> bool:
    """Whether there are objects, and all of them have polygons."""
    parts = [tile.image.labels for tile in tiles if len(tile.image.labels.boxes)]
    return bool(parts) and all(part.points is not None for part in parts)


def _labels_on_canvas(tiles: Sequence[Tile], canvas: Size) -> tuple[Labels, np.ndarray]:
    """All labels in pixels of the canvas, clipped to it, and the number of boxes of each tile."""
    parts = [tile.image.labels for tile in tiles]
    lengths = np.array([len(part.boxes) for part in parts])
    origins = np.array([tile.origin for tile in tiles], dtype=np.float32)
    shifts = np.tile(origins, 2).repeat(lengths, axis=0)
    boxes = np.concatenate([part.boxes for part in parts]) + shifts
    classes = np.concatenate([part.classes for part in parts])
    if not _are_outlined(tiles):
        return Labels(clip_boxes(boxes, canvas), classes), lengths
    points = [
        part.points + origin
        for part, origin in zip(parts, origins, strict=True)
        if part.points is not None
    ]
    clipped = np.clip(np.concatenate(points), 0, (canvas[1], canvas[0]))
    counts = np.concatenate([part.counts for part in parts if part.counts is not None])
    return Labels(clip_boxes(boxes, canvas), classes, clipped, counts), lengths


def _visible(
    labels: Labels, moved: Labels, matrix: np.ndarray | None, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """The boxes and classes of which the output shows enough.

    Args:
        labels: The labels, in pixels of the canvas.
        moved: The same labels, in the pixels that matrix maps from.
        matrix: [3, 3], the map to the output; None if they are there already.
        view: The output, and the scale of its map.

    Returns:
        Boxes [N, 4] float32 xyxy, clipped to the output, and classes [N].
    """
    if moved.points is None or moved.counts is None:
        mapped = moved.boxes if matrix is None else map_boxes(moved.boxes, matrix)
        boxes, share = clip_boxes(mapped, view.output), BOX_AREA_SHARE
    else:
        last = np.eye(3) if matrix is None else matrix
        boxes = polygon_boxes(moved.points, moved.counts, last, view.output)
        share = POLYGON_AREA_SHARE
    keep = box_candidates(labels.boxes * np.float32(view.affine.scale), boxes, share)
    return boxes[keep], labels.classes[keep]


def _span_on_canvas(origin: int, side: int, limit: int) -> tuple[int, int]:
    """The first pixel, and the one after the last, of a tile's side on a canvas of limit pixels."""
    return max(origin, 0), min(origin + side, limit)


def _lay_tiles(tiles: Sequence[Tile], canvas: Size) -> np.ndarray:
    image = np.full((*canvas, 3), GREY, dtype=np.uint8)
    for tile in tiles:
        (x, y), (height, width) = tile.origin, tile.image.size
        left, right = _span_on_canvas(x, width, canvas[1])
        top, bottom = _span_on_canvas(y, height, canvas[0])
        if isinstance(tile.image, LabelledImage) and top < bottom and left < right:
            pixels = tile.image.pixels
            image[top:bottom, left:right] = pixels[top - y : bottom - y, left - x : right - x]
    return image


def _place_tiles(tiles: Sequence[Tile], view: View) -> list[Place | None]:
    """The visible part of each tile under an upright map; None if nothing of it is visible."""
    matrix, places = view.affine.matrix(view.canvas, view.output), list[Place | None]()
    for tile in tiles:
        (x, y), (height, width) = tile.origin, tile.image.size
        columns = _span_on_canvas(x, width, view.canvas[1])
        rows = _span_on_canvas(y, height, view.canvas[0])
        across = _fit_edge(columns, (matrix[0, 0], matrix[0, 2]), view.output[1])
        down = _fit_edge(rows, (matrix[1, 1], matrix[1, 2]), view.output[0])
        if across is None or down is None:
            places.append(None)
        else:
            places.append(Place(across[0], down[0], across[1], down[1]))
    return places


def _resize_tiles(
    tiles: Sequence[Tile], places: Sequence[Place | None], output: Size
) -> tuple[np.ndarray, np.ndarray]:
    """Make the output of an upright view without its canvas.

    Args:
        tiles: The tiles; those with a place have been read.
        places: What is visible of each.
        output: (height, width) of the result, pixels.

    Returns:
        The output [H, W, 3], and the map of each tile [tiles, 4]: factors x, y, shifts x, y.
    """
    import cv2

    image = np.full((*output, 3), GREY, dtype=np.uint8)
    maps = np.zeros((len(tiles), 4), dtype=np.float32)
    for tile, place, row in zip(tiles, places, maps, strict=True):
        if place is None or not isinstance(tile.image, LabelledImage):
            continue
        (x, y), (x1, x2), (y1, y2) = tile.origin, place.columns, place.rows
        (left, right), (top, bottom) = place.across, place.down
        part = tile.image.pixels[y1 - y : y2 - y, x1 - x : x2 - x]
        size = (right - left, bottom - top)
        cv2.resize(part, size, dst=image[top:bottom, left:right], interpolation=cv2.INTER_LINEAR)
        gain_x, gain_y = (right - left) / (x2 - x1), (bottom - top) / (y2 - y1)
        row[:] = gain_x, gain_y, left - x1 * gain_x, top - y1 * gain_y
    return image, maps


def _fit_edge(
    span: tuple[int, int], line: tuple[float, float], limit: int
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Match whole pixels of the canvas with whole pixels of the output, along one axis.

    A resize needs whole pixels on both sides, but the map seldom takes whole pixels to such.
    So the ends of span are mapped and rounded, and then the canvas pixels that land outside the
    output are dropped. The rounding of an end depends on its place alone, so that two tiles that
    touch on the canvas also touch in the output, without a gap or an overlap. For example factor
    0.5, shift -3 and limit 10 map the pixels 4 to 26 to -1 to 10. Of these, 0 to 10 are in the
    output, and they come from the pixels 6 to 26.

    Args:
        span: First pixel on the canvas, and the one after the last.
        line: Factor and shift of the map.
        limit: Pixels of the output.

    Returns:
        (first, one after the last) on the canvas and in the output, or None if nothing is visible.
    """
    (start, stop), (factor, shift) = span, line
    low, high = round(start * factor + shift), round(stop * factor + shift)
    first, last = max(low, 0), min(high, limit)
    if start >= stop or first >= last:
        return None
    step = (stop - start) / (high - low)
    begin = min(start + round((first - low) * step), stop - 1)
    return (begin, max(start + round((last - low) * step), begin + 1)), (first, last)


def _map_by_tile(labels: Labels, maps: np.ndarray, lengths: np.ndarray) -> Labels:
    """Move labels on the canvas by the map of their own tile.

    Args:
        labels: The labels of all tiles, in the order of the tiles.
        maps: [tiles, 4], factors x, y, shifts x, y.
        lengths: [tiles], the number of boxes of each tile.

    Returns:
        The labels in pixels of the output.
    """
    own = maps.repeat(lengths, axis=0)
    boxes = labels.boxes * np.tile(own[:, :2], 2) + np.tile(own[:, 2:], 2)
    if labels.points is None or labels.counts is None:
        return Labels(boxes, labels.classes)
    own = own.repeat(labels.counts, axis=0)
    return Labels(boxes, labels.classes, labels.points * own[:, :2] + own[:, 2:], labels.counts)
