"""Charts of an evaluation: precision, recall and F1 curves, and the confusion matrix.

The arrays come from engine/evaluation/metrics.py, and each chart becomes a file in the run's
folder. A chart is drawn even if no class has labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import (
    GREY,
    INK,
    MANY,
    MEAN,
    class_colors,
    class_labels,
    make_figure,
    save_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure


def plot_curve(
    path: Path,
    x: np.ndarray,
    curves: np.ndarray,
    names: Sequence[str],
    labels: tuple[str, str],
    summary: str = "",
) -> Path:
    """Draw one line per class and their mean.

    Args:
        path: The file to write.
        x: [n] values in 0..1.
        curves: [C, n] values in 0..1.
        names: Names of the C classes, for the legend.
        labels: Labels of the x and y axes.
        summary: The mean's text in the legend; "" states its peak and where that is.

    Returns:
        path.
    """
    from matplotlib.collections import LineCollection

    figure = make_figure(9, 5.5)
    axes = style_axes(figure.subplots(), f"{labels[1]} over {labels[0].lower()}", *labels)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    curves = np.asarray(curves, dtype=float).reshape(-1, len(x))
    if not len(curves):
        _write_centred(axes, "no class has both labels and predictions")
        return save_figure(figure, path)
    # Many classes would fill the chart with a legend, so they share one colour and one entry.
    crowded = len(curves) > MANY
    if crowded:
        lines = np.dstack((np.broadcast_to(x, curves.shape), curves))
        axes.add_collection(LineCollection(list(lines), colors=GREY, linewidths=0.7, alpha=0.6))
    else:
        colors = class_colors(len(curves))
        for values, name, color in zip(curves, class_labels(names), colors, strict=True):
            axes.plot(x, values, color=color, linewidth=1.5, label=name)
    mean = curves.mean(0)
    top = int(np.argmax(mean))
    words = f"all classes: {summary or f'{mean[top]:.3f} at {x[top]:.3f}'}"
    axes.plot(x, mean, color=MEAN, linewidth=3, label=words)
    if crowded:
        axes.plot([], [], color=GREY, label=f"each of {len(curves)} classes")
    figure.legend(fontsize=8, frameon=False, loc="outside right upper")
    return save_figure(figure, path)


def _write_centred(axes: Axes, words: str) -> None:
    axes.text(
        0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=GREY
    )


def plot_confusion_matrix(path: Path, matrix: np.ndarray, names: Sequence[str]) -> Path:
    """Draw a confusion matrix, each column as shares of its sum.

    A column without entries stays blank. Shares are written into the cells while there is room.

    Args:
        path: The file to write.
        matrix: [nc + 1, nc + 1] counts, row predicted, column true, background last.
        names: Names of the nc classes.

    Returns:
        path.
    """
    counts = np.asarray(matrix, dtype=float)
    size = len(counts)
    sums = counts.sum(0, keepdims=True)
    # NaN stays blank in the image, while 0 would look like a class that is never found.
    shares = np.divide(counts, sums, out=np.full_like(counts, math.nan), where=sums > 0)
    side = min(max(4.2 + 0.36 * size, 5), 17)
    figure = make_figure(side * 1.12, side)
    title = "Confusion matrix (share of each true class)"
    axes = style_axes(figure.subplots(), title, "True", "Predicted", grid=False)
    cells = _draw_cells(axes, shares)
    # The matrix takes about 72 % of the figure's side (inches); a point is 1/72 inch.
    cell_points = 72 * side * 0.72 / size
    font = min(9.0, cell_points * 0.8)
    shown = [*class_labels(names), "background"] if font > 3.5 else []
    axes.set_xticks(range(len(shown)), shown, rotation=90 if size > 5 else 0, fontsize=font)
    axes.set_yticks(range(len(shown)), shown, fontsize=font)
    if size <= 31:
        _write_cells(axes, shares, counts, min(9.0, cell_points * 0.33))
    _add_colorbar(figure, axes, cells)
    return save_figure(figure, path)


def _draw_cells(axes: Axes, shares: np.ndarray) -> ScalarMappable:
    """Draw the cells, the first row above, with borders that are thin and grey if there are many.

    A mesh, since an image would be scaled to the pixels of the figure, and borders need no lines
    of their own then.
    """
    few = len(shares) <= 30
    colour, width = ("white", 1.5) if few else ("#f4f6f8", 0.4)
    edges = np.arange(len(shares) + 1) - 0.5
    cells = axes.pcolormesh(
        edges, edges, shares, cmap="Blues", vmin=0, vmax=1, edgecolors=colour, linewidth=width
    )
    axes.set(aspect="equal", xlim=(edges[0], edges[-1]), ylim=(edges[-1], edges[0]))
    return cells


def _write_cells(axes: Axes, shares: np.ndarray, counts: np.ndarray, font: float) -> None:
    """Write the share into each cell, and the count below it if there are few classes."""
    for row, column in np.argwhere(counts > 0):
        share = shares[row, column]
        words = f"{share:.2f}" if share >= 0.005 else "<.01"
        words += f"\n({counts[row, column]:.0f})" if len(shares) <= 12 else ""
        axes.text(
            column,
            row,
            words,
            ha="center",
            va="center",
            fontsize=font,
            color="white" if share > 0.5 else INK,
        )


def _add_colorbar(figure: Figure, axes: Axes, cells: ScalarMappable) -> None:
    bar = figure.colorbar(cells, ax=axes, shrink=0.6, aspect=30)
    for spine in bar.ax.spines.values():
        spine.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
