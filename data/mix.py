"""Several images in one: mosaic of four or nine, mixup, copy-paste. No data set here: fetch(i) is
an argument.

data/dataset.py draws and calls; images come from its fetch, geometry from data/geometry.py. A
mosaic is tiles on a canvas, of which an affine map cuts the output. Where the map is upright (the
usual case) each tile is resized straight into the output, and the canvas is never made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.augment import GREY, warp
from data.geometry import (
    Affine,
    Size,
    box_candidates,
    clip_boxes,
    draw_affine,
    map_boxes,
    polygon_boxes,
)
from utils.config import Hyperparameters

MIXUP_BETA = 32.0  # both parameters: shares near one half
PASTE_OVERLAP = 0.3  # a pasted object may hide less than this share of any box
POLYGON_AREA_SHARE, BOX_AREA_SHARE = 0.01, 0.1


@dataclass(frozen=True, slots=True)
class Labels:
    """boxes: [N, 4] float32 xyxy. classes: [N]. points [Q, 2] and counts [N]: their polygons'
    corners, one after the other, or None where there are only boxes."""

    boxes: np.ndarray
    classes: np.ndarray
    points: np.ndarray | None = None
    counts: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """image: [H, W, 3] uint8 RGB, not to be written to. labels: in pixels of image."""

    image: np.ndarray
    labels: Labels


Fetch = Callable[[int], Image]
Result = tuple[np.ndarray, np.ndarray, np.ndarray]  # image [H, W, 3], boxes [N, 4], classes [N]


@dataclass(frozen=True, slots=True)
class Tile:
    """A image with the (x, y) place of its top left corner on a canvas; parts beyond the canvas
    are cut off.
    """

    picture: Image
    origin: tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of a canvas: canvas and output (height, width), and the map between them."""

    canvas: Size
    output: Size
    affine: Affine


@dataclass(frozen=True, slots=True)
class Mosaic:
    """The draws of one mosaic.

    members: numbers of four or nine images. corner: (x, y), for four where they meet, for nine
    where the canvas is cut out. paste_share and paste_seed: of copy-paste.
    """

    members: tuple[int, ...]
    corner: tuple[int, int]
    affine: Affine
    paste_share: float = 0.0
    paste_seed: int = 0


def draw_mosaic(
    rng: np.random.Generator, first: int, pool: Sequence[int], imgsz: int, hyp: Hyperparameters
) -> Mosaic:
    """Draw a mosaic of image first and others from pool, with replacement, in random places."""
    nine = bool(hyp.mosaic9) and rng.random() < hyp.mosaic9
    others = rng.integers(len(pool), size=8 if nine else 3)
    members = np.array([first, *(pool[k] for k in others)])
    low, high = (0.0, float(imgsz)) if nine else (imgsz * 0.5, imgsz * 1.5)
    corner = (int(rng.uniform(low, high)), int(rng.uniform(low, high)))
    shuffled = tuple(members[rng.permutation(len(members))].tolist())
    return Mosaic(shuffled, corner, draw_affine(rng, hyp), hyp.copy_paste, int(rng.integers(2**32)))


def make_mosaic(draw: Mosaic, fetch: Fetch, imgsz: int) -> Result:
    """Fetch the members and return the mosaic, imgsz x imgsz, with its boxes."""
    images = [fetch(i) for i in draw.members]
    place = _origins_of_four if len(images) == 4 else _origins_of_nine
    origins = place([picture.image.shape[:2] for picture in images], draw.corner, imgsz)
    tiles = [Tile(picture, origin) for picture, origin in zip(images, origins, strict=True)]
    view = View((2 * imgsz, 2 * imgsz), (imgsz, imgsz), draw.affine)
    return compose(tiles, view, (draw.paste_share, draw.paste_seed))


def _origins_of_four(
    sizes: Sequence[Size], corner: tuple[int, int], imgsz: int
) -> list[tuple[int, int]]:
    """Top left, top right, bottom left, bottom right: all touch the corner where they meet."""
    x, y = corner
    return [
        (x - (k % 2 == 0) * width, y - (k < 2) * height) for k, (height, width) in enumerate(sizes)
    ]


def _origins_of_nine(
    sizes: Sequence[Size], corner: tuple[int, int], imgsz: int
) -> list[tuple[int, int]]:
    """One in the middle, then clockwise from above it, each beside the one before; corner is taken
    off.
    """
    heights, widths = [size[0] for size in sizes], [size[1] for size in sizes]
    left = top = imgsz
    right, bottom = imgsz + widths[0], imgsz + heights[0]
    x = [
        left,
        left,
        left + widths[1],
        right,
        right,
        right - widths[5],
        right - widths[5] - widths[6],
        left - widths[7],
        left - widths[8],
    ]
    y = [
        top,
        top - heights[1],
        top - heights[2],
        top,
        top + heights[3],
        bottom,
        bottom,
        bottom - heights[7],
        bottom - heights[7] - heights[8],
    ]
    return [(a - corner[0], b - corner[1]) for a, b in zip(x, y, strict=True)]


def compose(tiles: Sequence[Tile], view: View, paste: tuple[float, int] = (0.0, 0)) -> Result:
    """Lay tiles on view's canvas, later ones above, and return its output with the boxes still
    worth learning.

    paste: share and seed of copy-paste. The upright map is rounded so that edges of tiles fall
    between pixels, which moves things by less than a pixel; boxes move with their pixels, exactly.
    """
    labels, lengths = _on_canvas(tiles, view.canvas)
    if view.affine.upright and not (paste[0] and labels.points is not None):
        image, maps = _resize_tiles(tiles, view)
        moved = _map_by_tile(labels, maps, lengths)
        matrix = np.eye(3)
    else:
        image, labels = copy_paste(_lay_tiles(tiles, view.canvas), labels, *paste)
        matrix, moved = view.affine.matrix(view.canvas, view.output), labels
        image = warp(image, view.affine, view.output)
    return image, *_visible(labels, moved, matrix, view)


def _on_canvas(tiles: Sequence[Tile], canvas: Size) -> tuple[Labels, np.ndarray]:
    """All tiles' labels in pixels of the canvas, clipped to it, and how many boxes each tile has."""
    parts = [tile.picture.labels for tile in tiles]
    lengths = np.array([len(part.boxes) for part in parts])
    origins = np.array([tile.origin for tile in tiles], dtype=np.float32)
    boxes = np.concatenate([part.boxes for part in parts]) + np.tile(origins, 2).repeat(
        lengths, axis=0
    )
    classes = np.concatenate([part.classes for part in parts])
    outlined = [part for part in parts if part.points is not None]
    if sum(len(part.boxes) for part in outlined) < len(boxes) or not len(boxes):
        return Labels(clip_boxes(boxes, canvas), classes), lengths
    points = [
        part.points + origin
        for part, origin in zip(parts, origins, strict=True)
        if part.points is not None
    ]
    clipped = np.clip(np.concatenate(points), 0, (canvas[1], canvas[0]))
    counts = np.concatenate([part.counts for part in outlined if part.counts is not None])
    return Labels(clip_boxes(boxes, canvas), classes, clipped, counts), lengths


def _visible(
    labels: Labels, moved: Labels, matrix: np.ndarray, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and classes in the output: moved labels taken through matrix, those kept that still
    show enough.
    """
    if moved.points is None or moved.counts is None:
        boxes, share = clip_boxes(map_boxes(moved.boxes, matrix), view.output), BOX_AREA_SHARE
    else:
        boxes, share = (
            polygon_boxes(moved.points, moved.counts, matrix, view.output),
            POLYGON_AREA_SHARE,
        )
    keep = box_candidates(labels.boxes * np.float32(view.affine.scale), boxes, share)
    return boxes[keep], labels.classes[keep]


def _lay_tiles(tiles: Sequence[Tile], canvas: Size) -> np.ndarray:
    image = np.full((*canvas, 3), GREY, dtype=np.uint8)
    for tile in tiles:
        (x, y), (height, width) = tile.origin, tile.picture.image.shape[:2]
        top, bottom, left, right = (
            max(y, 0),
            min(y + height, canvas[0]),
            max(x, 0),
            min(x + width, canvas[1]),
        )
        if top < bottom and left < right:
            image[top:bottom, left:right] = tile.picture.image[
                top - y : bottom - y, left - x : right - x
            ]
    return image


def _resize_tiles(tiles: Sequence[Tile], view: View) -> tuple[np.ndarray, np.ndarray]:
    """The output [H, W, 3] of an upright view, and per tile the map it got: [tiles, 4], factors x,
    y, then shifts.
    """
    import cv2

    image = np.full((*view.output, 3), GREY, dtype=np.uint8)
    matrix = view.affine.matrix(view.canvas, view.output)
    maps = np.zeros((len(tiles), 4), dtype=np.float32)
    for tile, row in zip(tiles, maps, strict=True):
        (x, y), (height, width) = tile.origin, tile.picture.image.shape[:2]
        across = _fit_edge(
            (max(x, 0), min(x + width, view.canvas[1])),
            (matrix[0, 0], matrix[0, 2]),
            view.output[1],
        )
        down = _fit_edge(
            (max(y, 0), min(y + height, view.canvas[0])),
            (matrix[1, 1], matrix[1, 2]),
            view.output[0],
        )
        if across is None or down is None:
            continue
        (x1, x2), (left, right) = across
        (y1, y2), (top, bottom) = down
        part, target = (
            tile.picture.image[y1 - y : y2 - y, x1 - x : x2 - x],
            image[top:bottom, left:right],
        )
        cv2.resize(part, (right - left, bottom - top), dst=target, interpolation=cv2.INTER_LINEAR)
        gain_x, gain_y = (right - left) / (x2 - x1), (bottom - top) / (y2 - y1)
        row[:] = gain_x, gain_y, left - x1 * gain_x, top - y1 * gain_y
    return image, maps


def _fit_edge(
    span: tuple[int, int], line: tuple[float, float], limit: int
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Along one axis, whole pixels of the canvas and of the output that stand for span taken
    through line.

    line: factor and shift. limit: pixels of the output. Ends that touch on the canvas touch in the
    output. None if nothing is seen.
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
    """Labels on the canvas taken through their own tile's map [tiles, 4]."""
    own = maps.repeat(lengths, axis=0)
    boxes = labels.boxes * np.tile(own[:, :2], 2) + np.tile(own[:, 2:], 2)
    if labels.points is None or labels.counts is None:
        return Labels(boxes, labels.classes)
    own = own.repeat(labels.counts, axis=0)
    return Labels(boxes, labels.classes, labels.points * own[:, :2] + own[:, 2:], labels.counts)


def mixup(first: Result, second: Result, share: float) -> Result:
    """Both images over each other, share of the first, with the boxes of both (mixup, arXiv
    1710.09412).

    The image is made in the first one's memory.
    """
    import cv2

    image = cv2.addWeighted(first[0], share, second[0], 1 - share, 0.0, dst=first[0])
    return image, np.concatenate([first[1], second[1]]), np.concatenate([first[2], second[2]])


def copy_paste(
    image: np.ndarray, labels: Labels, share: float, seed: int
) -> tuple[np.ndarray, Labels]:
    """Paste mirror images of a share of the objects, those whose paste hides little of any box
    (arXiv 2012.07177).

    Labels are in pixels of image; image may be written to.
    """
    count = len(labels.boxes)
    return paste_mirrored(
        image, labels, np.random.default_rng(seed).permutation(count)[: round(share * count)]
    )


def paste_mirrored(
    image: np.ndarray, labels: Labels, chosen: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, Labels]:
    """Paste the chosen objects mirrored left to right, one after the other, where little is hidden.

    Needs polygons; without them nothing is pasted.
    """
    import cv2

    if labels.points is None or labels.counts is None:
        return image, labels
    width, ends = image.shape[1], np.cumsum(labels.counts)
    boxes, pasted, outlines = labels.boxes, [], []
    mask = np.zeros(image.shape[:2], dtype=np.uint8)
    for k in chosen:
        box = labels.boxes[k]
        mirror = np.array([[width - box[2], box[1], width - box[0], box[3]]], dtype=np.float32)
        if (_hidden_share(mirror[0], boxes) < PASTE_OVERLAP).all():
            outline = labels.points[ends[k] - labels.counts[k] : ends[k]]
            cv2.drawContours(mask, [outline.astype(np.int32)], -1, 1, cv2.FILLED)
            boxes = np.concatenate([boxes, mirror])
            outlines.append(np.stack([width - outline[:, 0], outline[:, 1]], 1))
            pasted.append(k)
    if not pasted:
        return image, labels
    where = cv2.flip(mask, 1).astype(bool)
    image[where] = cv2.flip(image, 1)[where]
    classes = np.concatenate([labels.classes, labels.classes[pasted]])
    points, counts = (
        np.concatenate([labels.points, *outlines]),
        np.concatenate([labels.counts, labels.counts[pasted]]),
    )
    return image, Labels(boxes, classes, points, counts)


def _hidden_share(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Share [N] of each of others [N, 4] that box [4] covers."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    area = (others[:, 2:] - others[:, :2]).prod(1)
    return np.maximum(sides, 0).prod(1) / (area + 1e-7)
