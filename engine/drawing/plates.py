"""Labels on plates: text in any script, fitted into the space available.

ASCII text is drawn with OpenCV's built-in font, other text with Pillow and an installed font
(matplotlib brings DejaVu Sans). Nothing is downloaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]

DARK, LIGHT = (16, 16, 16), (255, 255, 255)
SMALLEST_TEXT = 9.0  # pixels, capital to descender; smaller letters cannot be read
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


def fit_plate(text: str, height: float, room: tuple[int, int]) -> Plate:
    """Make a label that fits into a room: with smaller text first, then with a shorter one.

    Args:
        text: The label, which is put on one line.
        height: Height of the text in pixels, if there is room for it.
        room: (width, height) in pixels.
    """
    # A line break has no glyph in either font.
    text = " ".join(text.split())
    # The room may be only a few pixels high, but a font needs a minimum size.
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

    # Only the plate is converted, since converting the whole image for each label is slow.
    plate = Image.fromarray(np.ascontiguousarray(image[y : y + height, x : x + width]))
    middle = (label.padding, height / 2)
    ImageDraw.Draw(plate).text(
        middle, label.text, font=_pillow_font(label.text, label.height), fill=ink, anchor="lm"
    )
    image[y : y + height, x : x + width] = np.asarray(plate)
