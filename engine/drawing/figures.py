"""Shared parts of all matplotlib figures: how they are made, styled and saved.

results.py, curves.py and labels.py draw into these figures, which are saved in the run's folder.
matplotlib is imported on first use, and only its Figure objects are used, not pyplot. So there is
no global state: charts may be drawn in threads and need no display.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.drawing.fonts import families_for, legible
from utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rgba = tuple[float, float, float, float]

INK, GRID, MEAN = "#263238", "#e4e8eb", "#102a43"
BLUE, ORANGE, GREEN, GREY = "#1f77b4", "#e8743b", "#2a9d6f", "#90a4ae"
MANY = 20  # with more classes than this, a legend or a name for each would not be legible


def printable(name: object, limit: int = 24) -> str:
    """A class name as matplotlib can show it, in one line of at most `limit` characters.

    Characters that no font of this machine has become "?".
    """
    text = legible(" ".join(str(name).split()))
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    # matplotlib omits labels that begin with an underscore from legends, and typesets $x$.
    return (" " + text if text.startswith("_") else text).replace("$", r"\$")


def class_labels(names: Sequence[object]) -> list[str]:
    """Make all class names printable; a name that lost characters starts with its number.

    The number keeps apart names that would otherwise look the same.
    """
    lines = [" ".join(str(name).split()) for name in names]
    return [
        printable(line) if legible(line) == line else f"{number}: {printable(line)}"
        for number, line in enumerate(lines)
    ]


def make_figure(width: float, height: float, dpi: int = 140) -> Figure:
    """Make an empty figure of width x height inches, with dpi pixels per inch."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    return Figure(figsize=(width, height), dpi=dpi, layout=layout, facecolor="white")


def choose_fonts(figure: Figure) -> None:
    """Give each text of a figure the fonts that have its letters."""
    from matplotlib.text import Text

    for text in figure.findobj(Text, include_self=False):
        families = families_for(text.get_text())
        text.set_fontfamily(families)
        if len(families) > 1:  # many fonts of other scripts have one weight, and matplotlib warns
            text.set_fontweight("normal")


def save_figure(figure: Figure, path: Path) -> Path:
    """Render the figure into path (.png or .jpg), atomically, and return path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    choose_fonts(figure)
    # The figure is rendered in memory first, so that an error leaves no half-written file.
    # savefig() would go through all artists twice, for the layout and for the pixels.
    buffer, canvas, kind = io.BytesIO(), FigureCanvasAgg(figure), Path(path).suffix[1:]
    # Flat areas shrink well at the lowest level, which takes a third of the usual one's time.
    options = {"pil_kwargs": {"compress_level": 1}} if kind == "png" else {}
    write: Callable[..., None] = getattr(canvas, f"print_{kind}")
    write(buffer, **options)
    with atomic_write(path) as file:
        file.write(buffer.getvalue())
    return Path(path)


def style_axes(axes: Axes, title: str, x: str = "", y: str = "", grid: bool = True) -> Axes:
    """Apply the style of all charts: no frame, a light grid behind the data, small numbers.

    Args:
        axes: The axes of one chart.
        title: The title above the chart.
        x: Label of the x axis.
        y: Label of the y axis.
        grid: Whether to draw a grid.

    Returns:
        axes.
    """
    axes.set_title(title, fontsize=11, color=INK, loc="left", fontweight="bold")
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8, colors=INK, length=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, color=GRID, linewidth=0.8)
    return axes


def class_colors(count: int) -> list[Rgba]:
    """Return `count` colours that differ as much as possible: a qualitative palette, then hues."""
    from matplotlib import colormaps

    if count <= 10:
        return [colormaps["tab10"](number) for number in range(count)]
    if count <= MANY:
        return [colormaps["tab20"](number) for number in range(count)]
    return [colormaps["gist_rainbow"](number / count) for number in range(count)]
