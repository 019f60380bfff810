"""Figures of explain.py as files: a small PNG, and a PDF whose text stays text."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import choose_fonts
from utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

DPI = 110  # of figures and so of the PNG
FINER = 1.5  # pixels of a picture in the PDF for each one of the PNG
NEARLY_WHITE = 245
COLOURS, STEP = 256, 6  # colours of the PNG, and the difference below which two count as one


def save_both(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as PDF; path has no suffix. Returns both paths."""
    choose_fonts(figure)
    paths = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "pdf")]
    for place, content in zip(paths, (_png(figure), _pdf(figure)), strict=True):
        with atomic_write(place) as file:
            file.write(content)
    return paths


def _png(figure: Figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    raw, buffer = io.BytesIO(), io.BytesIO()
    write: Callable[..., None] = FigureCanvasAgg(figure).print_raw
    write(raw)
    width, height = figure.canvas.get_width_height()
    pixels = np.frombuffer(raw.getvalue(), np.uint8).reshape(height, width, 4)[..., :3]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.quantize(palette=_palette(pixels)).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def _palette(pixels: np.ndarray) -> Image.Image:
    """The colours of a picture [H, W, 3]; with dithering they show all that is seen of it.

    So the file takes a third of the bytes. Each colour counts by the root of how often it is there,
    since otherwise a small bright spot would get none of its own.
    """
    from PIL import Image

    rounded = (pixels.reshape(-1, 3) // STEP).astype(int)
    _, place, counts = np.unique(
        rounded @ np.array([1, 256, 65536]), return_inverse=True, return_counts=True
    )
    sums = [np.bincount(place.reshape(-1), pixels[..., channel].ravel()) for channel in range(3)]
    means = np.rint(np.stack(sums, 1) / counts[:, None]).astype(np.uint8)  # [kinds, 3]
    row = means.repeat(np.ceil(np.sqrt(counts)).astype(int), 0)[None]
    few = Image.fromarray(row).quantize(COLOURS, Image.Quantize.MEDIANCUT)
    colours = np.array(few.getpalette()).reshape(-1, 3)
    colours[colours.min(1) > NEARLY_WHITE] = 255  # the background stays white
    few.putpalette(colours.ravel().tolist())
    return few


def _pdf(figure: Figure) -> bytes:
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 42}):  # TrueType, which publishers ask for
        figure.savefig(buffer, format="pdf", dpi=DPI * FINER, metadata={"CreationDate": None})
    return buffer.getvalue()


def fit_pixels(image: np.ndarray, inches: float) -> np.ndarray:
    """Scale an image [H, W, ...] down to the pixels that a panel of this width has in the PDF.

    A smaller image is returned as it is.
    """
    import cv2

    width = max(1, round(inches * DPI * FINER))
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
