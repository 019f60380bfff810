"""Charts of a data set's labels: labels.jpg and labels_correlogram.jpg.

Boxes, classes and image sizes come from data/index.py, and both charts go to the run's folder.
They are drawn even if there is no label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import (
    BLUE,
    INK,
    Rgba,
    class_colors,
    class_labels,
    make_figure,
    save_figure,
    style_axes,
)
from utils.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_OUTLINES = 2000


def plot_labels(
    folder: Path, centres: np.ndarray, classes: np.ndarray, names: Mapping[int, str]
) -> Path:
    """Draw labels.jpg: labels per class, outlines of the boxes, and where centres and sizes lie.

    Args:
        folder: The run's folder.
        centres: [N, 4] x, y, width, height as shares of the image, from share_boxes().
        classes: [N] class numbers.
        names: Class number -> name.

    Returns:
        The path of the chart.
    """
    figure = make_figure(13.5, 8.5)
    axes = figure.subplot_mosaic([["classes"] * 3, ["outlines", "centres", "sizes"]])
    _draw_class_counts(axes["classes"], classes, names)
    colors = class_colors(max(len(names), 1))
    _draw_outlines(
        axes["outlines"], centres, [colors[int(number) % len(colors)] for number in classes]
    )
    _draw_density(axes["centres"], centres[:, 0], centres[:, 1])
    # In images y grows downwards.
    axes["centres"].invert_yaxis()
    style_axes(
        axes["centres"], "Centres", "x, share of the width", "y, share of the height", grid=False
    )
    _draw_density(axes["sizes"], centres[:, 2], centres[:, 3])
    style_axes(
        axes["sizes"],
        "Sizes",
        "width, share of the image's",
        "height, share of the image's",
        grid=False,
    )
    return save_figure(figure, Path(folder) / "labels.jpg")


def share_boxes(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Convert boxes to centre and size as shares of the image.

    Args:
        boxes: [N, 4] corners in pixels.
        sizes: [N, 2] height and width of each box's image in pixels.

    Returns:
        [N, 4] x, y, width, height.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    scale = np.asarray(sizes, dtype=float).reshape(-1, 2)[:, ::-1]
    lower, upper = boxes[:, :2] / scale, boxes[:, 2:] / scale
    return np.concatenate(((lower + upper) / 2, upper - lower), axis=1)


def _draw_class_counts(axes: Axes, classes: np.ndarray, names: Mapping[int, str]) -> None:
    """Draw a bar per class, with names and counts while they can be read."""
    numbers = sorted(names)
    tally = np.bincount(np.asarray(classes, dtype=int), minlength=max(numbers, default=0) + 1)
    counts = [int(tally[number]) for number in numbers]
    title = f"{counted(sum(counts), 'label')} of {counted(len(numbers), 'class', 'classes')}"
    style_axes(axes, title)
    bars = axes.bar(
        range(len(counts)),
        counts,
        color=class_colors(len(counts)),
        width=0.8 if len(counts) > 4 else 0.3,
    )
    axes.grid(False, axis="x")
    axes.set_xlim(-0.6, max(len(counts), 1) - 0.4)
    axes.set_ylim(0, max([1, *counts]) * 1.15)
    if len(counts) <= 100:
        font = 9 if len(counts) <= 40 else 7
        shown = class_labels([names[number] for number in numbers])
        rotation = 90 if len(counts) > 12 else 0
        axes.set_xticks(range(len(counts)), shown, rotation=rotation, fontsize=font)
        axes.bar_label(
            bars,
            [f"{count:,}" for count in counts],
            fontsize=font - 1,
            color=INK,
            padding=2,
            rotation=90 if len(counts) > 40 else 0,
        )


def _draw_outlines(axes: Axes, centres: np.ndarray, colors: Sequence[Rgba]) -> None:
    """Draw boxes [N, 4] over each other with one common centre, at most 2000, evenly chosen."""
    from matplotlib.collections import PolyCollection

    style_axes(
        axes,
        "Boxes around one centre",
        "width, share of the image's",
        "height, share of the image's",
    )
    count = min(len(centres), MOST_OUTLINES)
    chosen = np.unique(np.linspace(0, len(centres) - 1, count).astype(int))
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    outlines = centres[chosen, None, 2:] * corners
    # Few boxes get opaque lines. Many get faint ones, which add up where boxes agree.
    alpha = float(np.clip(60 / max(len(chosen), 1), 0.12, 0.8))
    axes.add_collection(
        PolyCollection(
            list(outlines),
            facecolors="none",
            linewidths=0.8,
            alpha=alpha,
            edgecolors=[colors[number] for number in chosen],
        )
    )
    axes.set(xlim=(-0.51, 0.51), ylim=(-0.51, 0.51))
    axes.set_box_aspect(1)


def _draw_density(axes: Axes, x: np.ndarray, y: np.ndarray, bins: int = 50) -> None:
    """Draw a two-dimensional histogram of [N] points in the unit square."""
    table, _, _ = np.histogram2d(x, y, bins=bins, range=((0, 1), (0, 1)))
    # The square root of a count decides the shade, so that rare places are visible too.
    shades = np.where(table > 0, np.sqrt(table), math.nan).T
    axes.imshow(
        shades,
        origin="lower",
        extent=(0, 1, 0, 1),
        cmap="YlGnBu",
        aspect="auto",
        interpolation="nearest",
        vmin=-0.3 * np.sqrt(table.max()),  # below 0, so that single labels are not almost white
    )
    axes.set_facecolor("#f4f7f9")
    axes.set_box_aspect(1)


def plot_correlogram(folder: Path, centres: np.ndarray) -> Path:
    """Draw labels_correlogram.jpg: x, y, width and height against each other.

    centres is [N, 4] as in plot_labels(). Returns the path of the chart.
    """
    variables = ("x", "y", "width", "height")
    figure = make_figure(9, 9, dpi=120)
    for row, below in enumerate(variables):
        for column, beside in enumerate(variables[: row + 1]):
            axes = figure.add_subplot(4, 4, row * 4 + column + 1)
            if row == column:
                axes.hist(centres[:, row], bins=50, range=(0, 1), color=BLUE)
                axes.set_yticks([])
                axes.set_box_aspect(1)
            else:
                _draw_density(axes, centres[:, column], centres[:, row], bins=40)
            style_axes(
                axes, "", beside if row == 3 else "", below if column == 0 else "", grid=False
            )
            axes.set_xlim(0, 1)
            axes.set_xticks([0, 0.5, 1], ["0", "½", "1"] if row == 3 else [])
            axes.set_yticks(
                [0, 0.5, 1] if column == 0 < row else [],
                ["0", "½", "1"] if column == 0 < row else [],
            )
    return save_figure(figure, Path(folder) / "labels_correlogram.jpg")
