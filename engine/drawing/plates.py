"""Labels on plates: text in any script, fitted into the space available.

ASCII text is drawn with OpenCV's built-in font, other text with Pillow and the fonts of fonts.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.fonts import legible, parts_by_font

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]

DARK, LIGHT = (16, 16, 16), (255, 255, 255)
SMALLEST_TEXT = 9.0  # pixels, capital to descender; smaller letters cannot be read
PADDING = 0.12  # blank around a text, as a share of its height


def text_colour_on(background: Colour) -> Colour:
    """Dark or light, the one with the higher contrast by WCAG's relative luminance."""
    linear = [
        (value / 255 / 12.92) if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
        for value in background
    ]
    # Green looks brightest to the eye and blue darkest.
    luminance = 0.0722 * linear[0] + 0.7152 * linear[1] + 0.2126 * linear[2]
    return DARK if (luminance + 0.05) ** 2 > 1.05 * 0.055 else LIGHT


@dataclass(frozen=True, slots=True)
class Plate:
    """A text with its plate.

    Attributes:
        text: The text as drawn, perhaps shortened.
        height: Height of the text, pixels.
        padding: Pixels between the text and each side of the plate.
        size: (width, height) of the plate, pixels.
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
def _font(file: str, height: int) -> FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(file, height)


@lru_cache(maxsize=1024)
def _pillow_parts(text: str, height: float) -> list[tuple[str, FreeTypeFont]]:
    """The parts of a text in drawing order, each with the font that has its letters."""
    size = max(6, round(height * 0.92))
    return [(part, _font(file, size)) for part, file in parts_by_font(text)]


def _text_width(text: str, height: float) -> int:
    import cv2

    if text.isascii():
        scale, stroke = _scale(height)
        return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)[0][0])
    return math.ceil(sum(font.getlength(part) for part, font in _pillow_parts(text, height)))


def fit_plate(text: str, height: float, room: tuple[int, int]) -> Plate:
    """Make a label that fits into a room: with smaller text first, then with a shorter one.

    Args:
        text: The label, which is put on one line.
        height: Height of the text in pixels, if there is room for it.
        room: (width, height) in pixels.
    """
    # A line break has no glyph in either font.
    text = legible(" ".join(text.split()))
    # The room may be only a few pixels high, but a font needs a minimum size.
    height = max(5.0, min(height, room[1] * 0.8))
    padding = max(1, round(height * PADDING))
    while height > SMALLEST_TEXT and _text_width(text, height) + 2 * padding > room[0]:
        height = max(SMALLEST_TEXT, height * 0.9)
    shown = text
    while len(shown) > 1 and _text_width(shown, height) + 2 * padding > room[0]:
        shown = shown.removesuffix("..")[:-1] + ".."
        if shown == "..":
            break
    width = min(_text_width(shown, height) + 2 * padding, room[0])
    return Plate(shown, height, padding, (width, min(round(height) + 2 * padding, room[1])))


def write_plate(
    image: np.ndarray, label: Plate, corner: tuple[int, int], background: Colour
) -> None:
    """Draw a plate with its text into an image, in place.

    Args:
        image: [H, W, 3] uint8 BGR.
        label: The text and its size.
        corner: (x, y) of the upper left corner in pixels.
        background: (blue, green, red) of the plate.
    """
    import cv2

    (x, y), (width, height) = corner, label.size
    cv2.rectangle(image, (x, y), (x + width - 1, y + height - 1), background, cv2.FILLED)
    write_text(image, label, corner, text_colour_on(background))


def write_text(image: np.ndarray, label: Plate, corner: tuple[int, int], ink: Colour) -> None:
    """Draw the text of a plate without the plate, in place.

    Args:
        image: [H, W, 3] uint8 BGR.
        label: The text and its size.
        corner: (x, y) of the plate's upper left corner in pixels.
        ink: (blue, green, red) of the text.
    """
    import cv2

    (x, y), (width, height) = corner, label.size
    if label.text.isascii():
        scale, stroke = _scale(label.height)
        below = cv2.getTextSize("Hg", cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)[1]
        foot = (x + label.padding, y + height - label.padding - below)
        cv2.putText(
            image, label.text, foot, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, stroke, cv2.LINE_AA
        )
        return
    from PIL import Image, ImageDraw

    # Only the plate is converted, since converting the whole image for each label is slow.
    plate = Image.fromarray(np.ascontiguousarray(image[y : y + height, x : x + width]))
    at, foot_of_letters = float(label.padding), label.padding + 0.8 * label.height
    for part, font in _pillow_parts(label.text, label.height):
        ImageDraw.Draw(plate).text((at, foot_of_letters), part, font=font, fill=ink, anchor="ls")
        at += font.getlength(part)
    image[y : y + height, x : x + width] = np.asarray(plate)
