"""Charts over epochs and over image sizes: results.png of a training, study.png of val.py.

The rows come from results.csv, as utils/files.py reads it, or from --task study, and each chart
becomes a file in the run's folder. A chart is drawn even if there is nothing to show: no epoch, or
a loss that was NaN.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    class_colors,
    make_figure,
    printable,
    save_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRAIN_LOSS = re.compile(r"train/.+_loss")
SMOOTHED = ("train", "val", "precision", "recall", "mAP50", "mAP50-95")  # labels of lines
# Titles of known terms of losses, in the order of their panels; others follow under their own name.
LOSS_TITLES = {
    "box": "Box loss",
    "obj": "Objectness loss",
    "dfl": "Distribution focal loss",
    "l1": "Error of distances",
    "cls": "Class loss",
}
Panel = tuple[str, tuple[tuple[str, str, str], ...]]  # title, (column, label, colour) of its lines
SCORE_PANELS: tuple[Panel, ...] = (
    (
        "Precision and recall",
        (("metrics/precision", "precision", BLUE), ("metrics/recall", "recall", ORANGE)),
    ),
    (
        "Mean average precision",
        (("metrics/mAP_0.5", "mAP50", GREEN), ("metrics/mAP_0.5:0.95", "mAP50-95", BLUE)),
    ),
    (
        "Learning rate",
        (("x/lr0", "biases", ORANGE), ("x/lr1", "weights", BLUE), ("x/lr2", "norms", GREEN)),
    ),
)


def columns_of(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """Turn rows (column name -> value) into columns (name -> [n] values); {} without rows."""
    return {
        name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ()) if name
    }


def smooth_over_epochs(values: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Smooth [n] values by a Gaussian of sigma epochs, ignoring NaN and infinity.

    The result is NaN where no finite value is near.
    """
    finite = np.isfinite(values)
    offsets = np.arange(len(values))
    weights = np.exp(-0.5 * ((offsets[:, None] - offsets) / sigma) ** 2) * finite
    total = weights.sum(1)
    sums = weights @ np.where(finite, values, 0.0)
    smoothed: np.ndarray = np.full(len(values), math.nan)
    np.divide(sums, total, out=smoothed, where=total > 1e-6)
    return smoothed


def plot_results(path: Path, rows: Sequence[Mapping[str, float]], protocol: str = "yolov5") -> Path:
    """Draw a training: each term of the loss, precision, recall, mAP and the learning rate.

    Args:
        path: The file to write, results.png.
        rows: Rows of results.csv, column name -> value.
        protocol: The rule for choosing the best epoch, which is marked.

    Returns:
        path.
    """
    columns = columns_of(rows)
    panels = [*loss_panels(columns), *SCORE_PANELS]
    across = max(math.ceil(len(panels) / 2), 3)
    figure = make_figure(4.5 * across, 7)
    places = list(figure.subplots(2, across).flat)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    for axes, (title, lines) in zip(places, panels, strict=False):
        style_axes(axes, title, "epoch")
        for column, label, color in lines:
            _draw_history(axes, columns.get("epoch"), columns.get(column), label, color)
        if axes.lines:
            axes.legend(fontsize=8, frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.margins(x=0.03)
        axes.set_ylim(*((-0.02, 1.02) if title.startswith(("Mean", "Prec")) else (0, _top(axes))))
        if title.startswith("Mean"):
            _mark_best(axes, columns, 0.0 if protocol == "yolov8" else 0.1)
    return save_figure(figure, path)


def loss_panels(columns: Iterable[str]) -> list[Panel]:
    """A panel for each term of the loss that has a train/ column."""
    names = [name[len("train/") : -len("_loss")] for name in columns if TRAIN_LOSS.fullmatch(name)]
    known = [name for name in LOSS_TITLES if name in names]
    others = [name for name in names if name not in LOSS_TITLES]
    return [
        (
            LOSS_TITLES.get(name, f"{name.capitalize()} loss"),
            ((f"train/{name}_loss", "train", BLUE), (f"val/{name}_loss", "val", ORANGE)),
        )
        for name in (*known, *others)
    ]


def _top(axes: Axes) -> float:
    """A little above the highest value drawn; 1 if there is none."""
    values = np.concatenate(
        [np.zeros(1), *(np.asarray(line.get_ydata(), dtype=float) for line in axes.lines)]
    )
    return float(np.nanmax(values)) * 1.08 or 1.0


def _draw_history(
    axes: Axes, epochs: np.ndarray | None, values: np.ndarray | None, label: str, color: str
) -> None:
    """Draw a column over the epochs, and a smoothed curve behind it when there are many."""
    if epochs is None or values is None or not len(values):
        return
    # matplotlib leaves a gap at NaN, but an infinite value would stretch the axis.
    values = np.where(np.isfinite(values), values, math.nan)
    marker = "o" if len(values) < 30 else None
    axes.plot(epochs, values, color=color, label=label, linewidth=1.6, marker=marker, markersize=3)
    if len(values) >= 10 and label in SMOOTHED:
        smoothed = smooth_over_epochs(values)
        axes.plot(epochs, smoothed, color=color, linewidth=4, alpha=0.25, solid_capstyle="round")


def _mark_best(axes: Axes, columns: Mapping[str, np.ndarray], share: float) -> None:
    """Mark the epoch of best fitness, where mAP50 has this weight and mAP50-95 the rest."""
    map50, map_ = columns.get("metrics/mAP_0.5"), columns.get("metrics/mAP_0.5:0.95")
    if map50 is None or map_ is None or not np.isfinite(map50 + map_).any():
        return
    best = int(np.nanargmax(share * map50 + (1 - share) * map_))
    epoch = columns["epoch"][best]
    axes.axvline(epoch, color=GREY, linewidth=1, linestyle=":")
    words = f"epoch (best: {epoch:.0f} with mAP50 {map50[best]:.3f}, mAP50-95 {map_[best]:.3f})"
    axes.set_xlabel(words, fontsize=9, color=INK)


def plot_study(path: Path, studies: Mapping[str, Sequence[Sequence[float]]]) -> Path:
    """Draw accuracy over time, one line per model.

    Args:
        path: The file to write, study.png.
        studies: Name of a model -> rows (imgsz, milliseconds per image, mAP50-95, mAP50).

    Returns:
        path.
    """
    figure = make_figure(12, 5.5)
    panels = figure.subplots(1, 2)
    for axes, column, title in zip(panels, (2, 3), ("mAP50-95", "mAP50"), strict=True):
        style_axes(axes, f"{title} over time", "milliseconds per image", title)
        for (name, rows), color in zip(studies.items(), class_colors(len(studies)), strict=True):
            table = np.array(rows, dtype=float).reshape(-1, 4)
            axes.plot(
                table[:, 1],
                table[:, column],
                marker="o",
                markersize=4,
                color=color,
                label=printable(name, 40),
            )
            for imgsz, time, *scores in table:
                axes.annotate(
                    f"{imgsz:.0f}",
                    (time, scores[column - 2]),
                    xytext=(4, -9),
                    textcoords="offset points",
                    fontsize=7,
                    color=INK,
                )
        axes.set_xlim(0, None)
        axes.margins(y=0.12)
    if studies:
        panels[0].legend(fontsize=8, frameon=False, loc="lower right")
    return save_figure(figure, path)
