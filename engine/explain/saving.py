"""Figures of explain.py as files: a small PNG, and a PDF whose text stays text."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import choose_fonts
from utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110  # of figures and so of the PNG
FINER = 2  # pixels of a picture in the PDF for each one of the PNG
COLOURS = 256  # of the PNG; photographs lose nothing that is seen, and take a third of the bytes


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

    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    few = Image.fromarray(np.ascontiguousarray(pixels)).quantize(
        COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    few.save(buffer, "png", optimize=True)
    return buffer.getvalue()


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
