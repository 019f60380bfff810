"""Boxes and labels drawn into images, legible at any size, without a font file in the project.

From: boxes in pixels, texts and class numbers, of engine/inference and sheets.py. To: a new image.
ASCII text is drawn with OpenCV's built-in font, other text with Pillow and an installed font
(matplotlib brings DejaVu Sans). Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]

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
DARK, LIGHT = (16, 16, 16), (255, 255, 255)
LINE_SHARE = 0.003  # line width as a share of the image's mean side
TEXT_PER_LINE = 6.5  # text height, in line widths
SMALLEST_TEXT = 9.0  # pixels, capital to descender; smaller letters cannot be read
MOST_HIDDEN = 0.3  # a label of which others would hide a larger share is not drawn
# Tried in this order where DejaVu Sans lacks a letter (Chinese, Japanese, Korean).
SYSTEM_FONTS = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-zenhei.ttc",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Supplemental/Arial Unicode.ttf",
    "C:/Windows/Fonts/msyh.ttc",
    "C:/Windows/Fonts/simhei.ttf",
)


def colour_of(class_id: int) -> Colour:
    """The (blue, green, red) of a class; classes 20 apart have the same."""
    code = PALETTE[int(class_id) % len(PALETTE)]
    red, green, blue = (int(code[start : start + 2], 16) for start in (0, 2, 4))
    return blue, green, red


def text_colour_on(background: Colour) -> Colour:
    """Dark or light, the one with the higher contrast by WCAG's relative luminance."""
    linear = [
        (value / 255 / 12.92) if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
        for value in background
    ]
    luminance = 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
    return DARK if (luminance + 0.05) ** 2 > 1.05 * 0.055 else LIGHT


def automatic_width(height: int, width: int) -> int:
    """A line width in pixels, in proportion to the sides of the image."""
    return max(1, round((height + width) / 2 * LINE_SHARE))


@dataclass(frozen=True, slots=True)
class _Label:
    """A text with its plate.

    height: of the text, pixels. padding: pixels between the text and each side of the plate. size:
    (width, height) of the plate, pixels.
    """

    text: str
    height: float
    padding: int
    size: tuple[int, int]


@lru_cache(maxsize=256)
def _scale(height: float) -> tuple[float, int]:
    """OpenCV's font scale and stroke for text of this height, capital to descender, in pixels."""
    import cv2

    (_, above), below = cv2.getTextSize("Hg", cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    return height / (above + below), max(1, round(height / 11))


@lru_cache(maxsize=64)
def _font_file(letters: str) -> str:
    """The first installed font that has all the letters, else DejaVu Sans."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    usual = str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    for file in (usual, *(font for font in SYSTEM_FONTS if Path(font).is_file())):
        characters = FT2Font(file)
        if all(characters.get_char_index(ord(letter)) for letter in letters):
            return file
    return usual


@lru_cache(maxsize=64)
def _font(file: str, height: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(file, height)


def _pillow_font(text: str, height: float) -> FreeTypeFont:
    return _font(_font_file("".join(sorted(set(text)))), max(6, round(height * 0.92)))


def _text_width(text: str, height: float) -> int:
    import cv2

    if text.isascii():
        scale, stroke = _scale(height)
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)[0][0])
    return round(_pillow_font(text, height).getlength(text))


def _fit(text: str, height: float, room: tuple[int, int]) -> _Label:
    """Make a label that fits into room (width, height): with smaller text, then with a shorter one.

    height: of the text in pixels, if there is room.
    """
    text = " ".join(text.split())
    height = max(5.0, min(height, room[1] * 0.8))
    padding = max(1, round(height * 0.2))
    while height > SMALLEST_TEXT and _text_width(text, height) + 2 * padding > room[0]:
        height = max(SMALLEST_TEXT, height * 0.9)
    shown = text
    while len(shown) > 1 and _text_width(shown, height) + 2 * padding > room[0]:
        shown = shown.removesuffix("..")[:-1] + ".."
        if shown == "..":
            break
    width = min(_text_width(shown, height) + 2 * padding, room[0])
    return _Label(shown, height, padding, (width, min(round(height) + 2 * padding, room[1])))


def _candidates(box: np.ndarray, size: tuple[int, int], line: int) -> list[tuple[int, int]]:
    """List places for a plate beside or inside a box, best first.

    Args:
        box: [4] corners in pixels.
        size: (width, height) of the plate in pixels.
        line: width of the box's line in pixels.

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
    """Pixels of a plate, at its upper left corner (x, y), that lie on plates placed before."""
    x1, y1, x2, y2 = *corner, corner[0] + size[0], corner[1] + size[1]
    shared = 0
    for left, top, right, bottom in placed:
        shared += max(0, min(x2, right) - max(x1, left)) * max(0, min(y2, bottom) - max(y1, top))
    return shared


def _place(
    boxes: np.ndarray, labels: list[_Label], line: int, frame: tuple[int, int]
) -> list[tuple[int, int] | None]:
    """Choose a place for every label, inside the image and clear of earlier labels if possible.

    Args:
        boxes: [N, 4] corners in pixels.
        labels: of the N boxes.
        line: width of the boxes' lines in pixels.
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
        placed.append((x, y, x + width, y + height))
    return corners


def _write(image: np.ndarray, label: _Label, corner: tuple[int, int], background: Colour) -> None:
    """Draw a label's plate and text into the image, in place, at the upper left corner (x, y)."""
    import cv2

    (x, y), (width, height) = corner, label.size
    cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), background, cv2.FILLED)
    ink = text_colour_on(background)
    if label.text.isascii():
        scale, stroke = _scale(label.height)
        below = cv2.getTextSize("Hg", cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)[1]
        foot = (x + label.padding, y + height - label.padding - below)
        cv2.putText(
            image, label.text, foot, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, stroke, cv2.LINE_AA
        )
        return
    from PIL import Image, ImageDraw

    plate = Image.fromarray(np.ascontiguousarray(image[y : y + height, x : x + width]))
    middle = (label.padding, height / 2)
    ImageDraw.Draw(plate).text(
        middle, label.text, font=_pillow_font(label.text, label.height), fill=ink, anchor="lm"
    )
    image[y : y + height, x : x + width] = np.asarray(plate)


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    texts: Sequence[str],
    classes: Sequence[int] | np.ndarray,
    line_width: int | None = None,
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
        line_width: pixels; None or 0 chooses by the size of the image. Text grows with it.

    Returns:
        [H, W, 3] uint8 BGR.
    """
    import cv2

    canvas = np.ascontiguousarray(image).copy()
    height, width = canvas.shape[:2]
    boxes = np.asarray(boxes, dtype=np.float32).reshape(-1, 4)
    line = line_width or automatic_width(height, width)
    text_height = max(
        SMALLEST_TEXT, TEXT_PER_LINE * (line_width or (height + width) / 2 * LINE_SHARE)
    )
    colours = [colour_of(class_id) for class_id in classes]
    limits = np.array([width - 1, height - 1, width - 1, height - 1], dtype=np.float32)
    # OpenCV takes integers only, and a diverged model may give NaN or infinity.
    clipped = np.clip(np.nan_to_num(boxes), 0, limits)
    for box, colour in reversed(list(zip(clipped, colours, strict=True))):
        x1, y1, x2, y2 = (round(float(value)) for value in box)
        if line > 1:  # a dark edge, so that a yellow box is visible on a yellow wall
            cv2.rectangle(canvas, (x1, y1), (x2, y2), DARK, line + 2 * max(1, line // 5))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, line)
    labelled = [row for row, text in enumerate(texts) if text]
    labels = [_fit(texts[row], text_height, (width, height)) for row in labelled]
    corners = _place(clipped[labelled], labels, line, (height, width))
    for row, label, corner in reversed(list(zip(labelled, labels, corners, strict=True))):
        if corner:
            _write(canvas, label, corner, colours[row])
    return canvas
