"""Boxes and labels drawn into images, legible at any size.

engine/inference and sheets.py pass boxes in pixels, texts and class numbers, and get a new image.
plates.py draws the labels themselves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.drawing.plates import DARK, SMALLEST_TEXT, Colour, Plate, fit_plate, write_plate

# RGB. Neighbours in the list differ in lightness as well as in hue, so that colour-blind readers
# can tell them apart too.
PALETTE = (
    "0072ce",
    "ffb000",
    "c2185b",
    "5ee2c0",
    "7b3fd1",
    "f4e04d",
    "e8590c",
    "9ad0ff",
    "1b7a3d",
    "ff9fc6",
    "5c3a21",
    "b6f05a",
    "1f2f86",
    "ffc9a3",
    "00808a",
    "d6b3ff",
    "8a0f2c",
    "00c8f0",
    "6b6f1a",
    "dfe3e6",
)
LINE_SHARE = 0.003  # line width as a share of the image's mean side
LEAST_LINE = 2  # pixels, as in YOLOv5
TEXT_PER_LINE = 10  # text height in line widths, as YOLOv5's letters have it
MOST_HIDDEN = 0.3  # a label is not drawn if others would hide a larger share of it


def colour_of(class_id: int) -> Colour:
    """The (blue, green, red) of a class; colours repeat after 20 classes."""
    code = PALETTE[int(class_id) % len(PALETTE)]
    red, green, blue = (int(code[start : start + 2], 16) for start in (0, 2, 4))
    return blue, green, red


def automatic_width(height: int, width: int) -> int:
    """A line width in pixels, in proportion to the sides of the image."""
    # YOLOv5 takes the mean of the array's shape, which counts the 3 channels too.
    return max(LEAST_LINE, round((height + width + 3) / 2 * LINE_SHARE))


def _candidates(box: np.ndarray, size: tuple[int, int], line: int) -> list[tuple[int, int]]:
    """List places for a plate beside or inside a box, best first.

    Args:
        box: [4] corners in pixels.
        size: (width, height) of the plate in pixels.
        line: Width of the box's line in pixels.

    Returns:
        (x, y) of the plate's upper left corner.
    """
    x1, y1, x2, y2 = (round(float(value)) for value in box)
    width, height = size
    left, right = x1 - line // 2, x2 + line // 2 - width + 1
    above, below = y1 - line // 2 - height, y2 + line // 2
    return [
        (left, above),
        (left, y1),
        (right, above),
        (left, below),
        (right, y1),
        (left, y2 - height),
        (right, below),
    ]


def _overlap(
    corner: tuple[int, int], size: tuple[int, int], placed: list[tuple[int, int, int, int]]
) -> int:
    """Count the pixels of a plate at corner (x, y) that lie on plates placed before."""
    x1, y1, x2, y2 = *corner, corner[0] + size[0], corner[1] + size[1]
    shared = 0
    for left, top, right, bottom in placed:
        shared += max(0, min(x2, right) - max(x1, left)) * max(0, min(y2, bottom) - max(y1, top))
    return shared


def _place(
    boxes: np.ndarray, labels: list[Plate], line: int, frame: tuple[int, int]
) -> list[tuple[int, int] | None]:
    """Choose a place for every label, inside the image and clear of earlier labels if possible.

    Args:
        boxes: [N, 4] corners in pixels.
        labels: Plates of the N boxes.
        line: Width of the boxes' lines in pixels.
        frame: (height, width) of the image in pixels.

    Returns:
        (x, y) of each upper left corner; None for a label that earlier ones would hide everywhere.
    """
    placed: list[tuple[int, int, int, int]] = []
    corners: list[tuple[int, int] | None] = []
    for box, label in zip(boxes, labels, strict=True):
        width, height = label.size
        room_x, room_y = frame[1] - width, frame[0] - height
        inside = []
        for x, y in _candidates(box, label.size, line):
            if 0 <= y <= room_y:
                inside.append((min(max(x, 0), room_x), y))
        # In a tiny image no candidate may fit; then the box's own corner is moved inside.
        inside = inside or [
            (min(max(round(float(box[0])), 0), room_x), min(max(round(float(box[1])), 0), room_y))
        ]
        hidden = [_overlap(corner, label.size, placed) for corner in inside]
        best = int(np.argmin(hidden))
        if hidden[best] > MOST_HIDDEN * width * height:
            corners.append(None)
            continue
        x, y = inside[best]
        corners.append((x, y))
        # Only labels that are drawn can hide later ones.
        placed.append((x, y, x + width, y + height))
    return corners


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[str],
    classes: Sequence[int] | np.ndarray,
    line_width: int | None = None,
    text_height: float = 0.0,
) -> np.ndarray:
    """Draw boxes and their labels into a copy of an image.

    Rows are sorted by descending confidence. All boxes are drawn first, then the labels, those of
    the first rows on top. Labels stay inside the image and apart from each other if possible; a
    label that earlier ones would hide is not drawn.

    Args:
        image: [H, W, 3] uint8 BGR, not changed.
        boxes: [N, 4] corners in pixels.
        texts: N labels, "" for none.
        classes: [N] class numbers, which choose the colours.
        line_width: Pixels; None or 0 derives it from the image size. Text scales with it.
        text_height: Pixels; 0 derives it from the line width.

    Returns:
        [H, W, 3] uint8 BGR.
    """
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    line = line_width or automatic_width(height, width)
    text_height = max(SMALLEST_TEXT, text_height or TEXT_PER_LINE * line)
    colours = [colour_of(class_id) for class_id in classes]
    limits = np.array([width - 1, height - 1, width - 1, height - 1], dtype=np.float32)
    # OpenCV takes integers only, and a diverged model may give NaN or infinity.
    clipped = np.clip(np.nan_to_num(boxes), 0, limits)
    # In reverse, so that the most confident box is drawn last and lies on top.
    for box, colour in reversed(list(zip(clipped, colours, strict=True))):
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        if line > 1:  # a dark edge, so that a yellow box is visible on a yellow wall
            cv2.rectangle(canvas, (x1, y1), (x2, y2), DARK, line + 2 * max(1, line // 5))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line)
    labelled = [row for row, text in enumerate(texts) if text]
    labels = [fit_plate(texts[row], text_height, (width, height)) for row in labelled]
    corners = _place(clipped[labelled], labels, line, (height, width))
    for row, label, corner in reversed(list(zip(labelled, labels, corners, strict=True))):
        if corner:
            write_plate(canvas, label, corner, colours[row])
    return canvas
