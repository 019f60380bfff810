"""Figures for a paper: in column width, readable in grey, as PNG, PDF and SVG.

Lines differ in dashes and markers besides colour, since many papers are printed in grey and many
readers do not tell red from green. The colours are those of Okabe and Ito (Color Universal Design,
2008), in an order in which neighbours differ in lightness too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.drawing.figures import INK, choose_fonts, make_figure, printable
from utils.files import atomic_write
from utils.tables import cut_to_width
from utils.text import display_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#000000", "#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#7F7F7F")
# Their number has no divisor in common with that of the colours, so 56 lines differ.
DASHES: tuple[Any, ...] = (
    "-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)), (0, (9, 2)),
    (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)), (0, (1.2, 2.6)),
)  # fmt: skip
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<")
MARKS = 7  # on a line
# Bars have the colours of the lines; these patterns tell them apart in grey.
HATCHES = ("", "/////", "....", "", "\\\\\\\\\\", "xxxxx", "|||||")
# In sizes of the font: the sample of a line in a legend, a line of its text, a mean letter.
SAMPLE, LINE, MEAN_LETTER = 3.4, 1.5, 0.6
DPI = 400  # of a PNG; journals ask for 300 or more


@dataclass(frozen=True)
class PaperStyle:
    """Width in inches, size of the text in points, and the files of each figure."""

    width: float = 3.3
    font_size: float = 8.0
    formats: Sequence[str] = ("png", "pdf", "svg")


def line_style(number: int, points: int) -> dict[str, Any]:
    """How the line with this number looks, with its markers among so many points.

    The markers of different lines stand at different places, so that lines on top of each other can
    be told apart.
    """
    gap = max(points // MARKS, 1)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markevery": ((number * gap // 3) % gap, gap),
        "markersize": 3.6,
        "markerfacecolor": "white",
        "markeredgewidth": 0.9,
        "linewidth": 1.2,
    }


def bar_style(number: int) -> dict[str, Any]:
    """How the bars with this number look; the pattern is drawn in the colour of the edge."""
    return {
        "facecolor": COLOURS[number % len(COLOURS)],
        "edgecolor": "white",
        "hatch": HATCHES[number % len(HATCHES)],
        "linewidth": 0,
    }


def new_panels(style: PaperStyle, heights: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """A figure of panels below each other, which share their x axis.

    Args:
        style: Width and size of the text.
        heights: Inches of each panel.
    """
    figure = make_figure(style.width, sum(heights), DPI)
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.02, h_pad=0.02, hspace=0.02)
    panels = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    return figure, [style_for_paper(axes, style) for axes in panels[:, 0]]


def style_for_paper(axes: Axes, style: PaperStyle) -> Axes:
    """A thin frame, ticks inside it and a faint grid."""
    axes.tick_params(
        labelsize=style.font_size, colors=INK, direction="in", width=0.6, length=2.5, pad=2.5
    )
    for side in axes.spines.values():
        side.set(linewidth=0.6, color=INK)
    axes.set_axisbelow(True)
    axes.grid(True, color="#dddddd", linewidth=0.4)
    return axes


def name_axis(axes: Axes, style: PaperStyle, x: str = "", y: str = "") -> None:
    """Write labels of the axes; "" for none."""
    axes.set_xlabel(x, fontsize=style.font_size, color=INK, labelpad=2)
    axes.set_ylabel(y, fontsize=style.font_size, color=INK, labelpad=2)


def legend_name(name: str, rest: str, style: PaperStyle) -> str:
    """A name, and what is said of it, in one line of a legend or, where they do not fit, in two.

    Args:
        name: The name, which is cut if it is longer than a line.
        rest: What follows.
        style: Width of the figure and size of the text.
    """
    line = style.width * 72 / style.font_size - SAMPLE - 2  # in sizes of the font
    most = max(int(line / MEAN_LETTER), 8)
    shown = printable(cut_to_width(name, most), most)
    gap = " " if display_width(f"{shown} {rest}") <= most else "\n"
    return f"{shown}{gap}{rest}" if rest else shown


def add_legend(figure: Figure, axes: Axes, style: PaperStyle) -> None:
    """Write the legend below the panels, where it covers no line; the figure becomes higher."""
    handles, labels = axes.get_legend_handles_labels()
    lines = sum(label.count("\n") + 1 for label in labels)
    width, height = figure.get_size_inches()
    figure.set_size_inches(width, height + lines * LINE * style.font_size / 72)
    legend = figure.legend(
        handles, labels, loc="outside lower center", fontsize=style.font_size, frameon=False,
        handlelength=SAMPLE, handletextpad=0.6, labelspacing=0.25, borderaxespad=0.1, borderpad=0.2,
    )  # fmt: skip
    for line in legend.get_lines():
        line.set_markevery(None)  # a marker may otherwise be missing in the short sample


def save_for_paper(figure: Figure, folder: Path, stem: str, style: PaperStyle) -> list[Path]:
    """Write the figure in each format, atomically; return the paths.

    The same figure gives the same bytes. Text in a PDF stays text, in TrueType fonts, which
    publishers ask for; in an SVG it becomes outlines, which look the same everywhere.
    """
    import matplotlib

    choose_fonts(figure)
    paths = []
    options: dict[Any, Any] = {"svg.hashsalt": stem, "svg.fonttype": "path", "pdf.fonttype": 42}
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
    for kind in style.formats:
        buffer = io.BytesIO()
        with matplotlib.rc_context(options):
            figure.savefig(buffer, format=kind, metadata=metadata[kind])
        with atomic_write(folder / f"{stem}.{kind}") as file:
            file.write(buffer.getvalue())
        paths.append(folder / f"{stem}.{kind}")
    return paths
