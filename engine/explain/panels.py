"""Figures of heat maps: a row for each object or class, a column for each model, with captions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.draw import colour_of
from engine.drawing.figures import INK, make_figure, printable
from engine.explain.explainer import Explained, Explanation, Panel
from engine.explain.saving import DPI, fit_pixels
from engine.explain.settings import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "inferno"  # its lightness rises with the value, so that it can be read in grey too
WIDEST, TALLEST, NARROWEST = 2.4, 3.2, 1.6  # inches of a panel
HEADING = 0.26  # inches of a title
LINE = 0.15  # inches of a line of a caption
MOST_OPAQUE = 0.85


def draw_explanation(explanation: Explanation) -> Figure:
    """The figure of a frame's heat maps, with the image itself in the first column."""
    labels, targets = list(explanation.rows), explanation.targets
    wide, tall = panel_size(explanation.frame.image)
    columns = len(labels) + 1
    caption = caption_of(explanation)
    size = (wide + 0.1) * columns + 0.6, (tall + HEADING) * len(targets) + 0.2
    figure = figure_with(caption, *size)
    grid = figure.subplots(len(targets), columns, squeeze=False)
    for row, target in zip(grid, targets, strict=True):
        show_image(row[0], explanation.frame.image, f"{printable(target.name)}")
        mark_box(row[0], target)
        for axes, label in zip(row[1:], labels, strict=True):
            _show_heat(axes, explanation, target, label)
    add_scale(figure, grid, "share of the map's maximum")
    return figure


def panel_size(image: np.ndarray) -> tuple[float, float]:
    """Width and height in inches of the panel of an image [H, W, ...], of its own shape if it can.

    So an upright image gets a narrow panel, and leaves no gap beside it.
    """
    ratio = image.shape[0] / image.shape[1]
    wide = min(WIDEST, max(NARROWEST, TALLEST / ratio))
    return wide, min(wide * ratio, TALLEST)


def _show_heat(axes: Axes, explanation: Explanation, target: Explained, label: str) -> None:
    panel = target.panels[label]
    show_image(axes, explanation.frame.image, _title(label, target, panel))
    if panel.heat is not None:
        overlay(axes, panel.heat)
    mark_box(axes, target)


def _title(label: str, target: Explained, panel: Panel) -> str:
    if panel.heat is None:
        return f"{printable(label)}: no box of this object"
    score = f"{panel.score:.2f}" if target.box is not None else f"sum {panel.score:.1f}"
    return f"{printable(label)}: {score}"


def caption_of(explanation: Explanation) -> str:
    """What a reader must know of the figure: method, layers, and whose score is explained."""
    rows = [
        f"{printable(label)} " * (len(explanation.rows) > 1) + ", ".join(map(str, numbers))
        for label, numbers in explanation.rows.items()
    ]
    objects = all(target.box is not None for target in explanation.targets)
    what = "each object's confidence" if objects else "each class's confidence in all boxes"
    return (
        f"{METHODS[explanation.method]} of {what}. Rows of the graph: {'; '.join(rows)}. Each map"
        " is scaled to its own largest value."
    )


def show_image(axes: Axes, image: np.ndarray, title: str) -> None:
    """Show an image [H, W, 3] uint8 BGR without axes."""
    height, width = image.shape[:2]
    # Places are in pixels of the whole image, however many of them are drawn.
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    small = fit_pixels(image, panel_size(image)[0])
    axes.imshow(small[..., ::-1], interpolation="antialiased", extent=place)
    axes.set_title(title, fontsize=9, color=INK, loc="left")
    axes.set_axis_off()


def overlay(axes: Axes, heat: np.ndarray) -> None:
    """Lay a map [H, W] in 0..1 over an image; where it is 0, the image shows unchanged."""
    from matplotlib import colormaps

    height, width = heat.shape
    small = fit_pixels(heat, panel_size(heat)[0])
    coloured = colormaps[COLOURS](small)  # [h, w, 4]
    coloured[..., 3] = MOST_OPAQUE * np.sqrt(small)
    place = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(coloured, interpolation="antialiased", extent=place)


def mark_box(axes: Axes, target: Explained) -> None:
    """Draw the box of an object."""
    if target.box is None:
        return
    from matplotlib.patches import Rectangle

    x1, y1, x2, y2 = (float(value) for value in target.box)
    blue, green, red = (value / 255 for value in colour_of(target.class_id))
    for colour, line in (((1.0, 1.0, 1.0), 2.4), ((red, green, blue), 1.4)):
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour, linewidth=line)
        axes.add_patch(box)


def add_scale(figure: Figure, grid: np.ndarray, label: str) -> None:
    """Add the scale of colours, 0 to 1, on the right of a grid of axes."""
    from matplotlib.cm import ScalarMappable

    # About as tall as one row, however many rows there are.
    tall = figure.get_figheight()
    shrink = min(0.8, 2.5 / tall)
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=grid, shrink=shrink, aspect=25, fraction=0.03, pad=0.01
    )
    bar.set_label(label, fontsize=8, color=INK)
    bar.ax.tick_params(labelsize=7, colors=INK, length=0)


def figure_with(caption: str, width: float, height: float) -> Figure:
    """A figure of panels of this size in inches, with a caption in lines that fit the width."""
    lines = textwrap.wrap(caption, max(30, int(width * 15)))
    figure = make_figure(width, height + LINE * len(lines), DPI)
    figure.supxlabel("\n".join(lines), fontsize=8, color=INK, x=0.01, ha="left")
    return figure
