"""Charts of a run: results, curves, confusion matrix, labels and the speed study.

Data come from results.csv (train.py), engine.evaluation.metrics and data.index; each chart becomes
a file in the run's folder. One that has nothing to show (no labels, one epoch, a loss that was NaN)
is drawn all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.drawing.figures import (  # fmt: skip
    BLUE,
    GREEN,
    GREY,
    INK,
    MANY,
    MEAN,
    ORANGE,
    class_colors,
    class_labels,
    new_figure,
    printable,
    save_figure,
    style_axes,
)
from engine.training import logbook

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def read_columns(path: Path) -> dict[str, np.ndarray]:
    """Columns of results.csv by name; {} if it has no rows."""
    rows = logbook.read_results(path)
    return {
        name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ()) if name
    }


def smooth(values: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Gaussian mean over neighbouring epochs that leaves NaN and infinity out; NaN where nothing is
    near.
    """
    finite = np.isfinite(values)
    offsets = np.arange(len(values))
    weights = np.exp(-0.5 * ((offsets[:, None] - offsets) / sigma) ** 2) * finite
    total = weights.sum(1)
    sums = weights @ np.where(finite, values, 0.0)
    return np.divide(sums, total, out=np.full(len(values), math.nan), where=total > 1e-6)


RESULT_PANELS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("Box loss", (("train/box_loss", "train", BLUE), ("val/box_loss", "val", ORANGE))),
    ("Objectness loss", (("train/obj_loss", "train", BLUE), ("val/obj_loss", "val", ORANGE))),
    (
        "Distribution focal loss",
        (("train/dfl_loss", "train", BLUE), ("val/dfl_loss", "val", ORANGE)),
    ),
    ("Class loss", (("train/cls_loss", "train", BLUE), ("val/cls_loss", "val", ORANGE))),
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


def plot_results(path: Path, protocol: str = "yolov5") -> Path:
    """Draw results.csv as results.png beside it: losses, precision, recall, mAP with its best
    epoch, learning rate.

    Objectness or distribution focal loss, whichever the run has. protocol: the rule that the best
    epoch was chosen by.
    """
    columns = read_columns(Path(path))
    absent = "Objectness loss" if "train/dfl_loss" in columns else "Distribution focal loss"
    panels = [panel for panel in RESULT_PANELS if panel[0] != absent]
    figure = new_figure(13.5, 7)
    for axes, (title, lines) in zip(figure.subplots(2, 3).flat, panels, strict=True):
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
    return save_figure(figure, Path(path).with_suffix(".png"))


def _top(axes: Axes) -> float:
    """A little above the highest value drawn; 1 if there is none."""
    values = np.concatenate(
        [np.zeros(1), *(np.asarray(line.get_ydata(), dtype=float) for line in axes.lines)]
    )
    return float(np.nanmax(values)) * 1.08 or 1.0


def _draw_history(
    axes: Axes, epochs: np.ndarray | None, values: np.ndarray | None, label: str, color: str
) -> None:
    if epochs is None or values is None or not len(values):
        return
    values = np.where(np.isfinite(values), values, math.nan)
    marker = "o" if len(values) < 30 else None
    axes.plot(epochs, values, color=color, label=label, linewidth=1.6, marker=marker, markersize=3)
    if len(values) >= 10 and label in ("train", "val", "precision", "recall", "mAP50", "mAP50-95"):
        axes.plot(
            epochs, smooth(values), color=color, linewidth=4, alpha=0.25, solid_capstyle="round"
        )


def _mark_best(axes: Axes, columns: Mapping[str, np.ndarray], share: float) -> None:
    """Mark the epoch of best fitness; share: of mAP50 in it."""
    map50, map_ = columns.get("metrics/mAP_0.5"), columns.get("metrics/mAP_0.5:0.95")
    if map50 is None or map_ is None or not np.isfinite(map50 + map_).any():
        return
    best = int(np.nanargmax(share * map50 + (1 - share) * map_))
    epoch = columns["epoch"][best]
    axes.axvline(epoch, color=GREY, linewidth=1, linestyle=":")
    words = f"epoch (best: {epoch:.0f} with mAP50 {map50[best]:.3f}, mAP50-95 {map_[best]:.3f})"
    axes.set_xlabel(words, fontsize=9, color=INK)


def plot_curve(
    path: Path,
    x: np.ndarray,
    curves: np.ndarray,
    names: Sequence[str],
    labels: tuple[str, str],
    summary: str = "",
) -> Path:
    """Draw one line a class and their mean.

    x: [n]; curves: [C, n]; names: C, for the legend; labels: of the x and y axis; summary: what the
    mean's legend says, by default where the mean is highest.
    """
    figure = new_figure(9, 5.5)
    axes = style_axes(figure.subplots(), f"{labels[1]} over {labels[0].lower()}", *labels)
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    curves = np.asarray(curves, dtype=float).reshape(-1, len(x))
    if not len(curves):
        _say_empty(axes, "no class has both labels and predictions")
        return save_figure(figure, path)
    crowded = len(curves) > MANY
    for values, name, color in zip(
        curves, class_labels(names), class_colors(len(curves)), strict=True
    ):
        look = (
            {"color": GREY, "linewidth": 0.7, "alpha": 0.6}
            if crowded
            else {"color": color, "linewidth": 1.5}
        )
        axes.plot(x, values, label=None if crowded else name, **look)
    mean = curves.mean(0)
    top = int(np.argmax(mean))
    words = f"all classes: {summary or f'{mean[top]:.3f} at {x[top]:.3f}'}"
    axes.plot(x, mean, color=MEAN, linewidth=3, label=words)
    if crowded:
        axes.plot([], [], color=GREY, label=f"each of {len(curves)} classes")
    figure.legend(fontsize=8, frameon=False, loc="outside right upper")
    return save_figure(figure, path)


def _say_empty(axes: Axes, words: str) -> None:
    axes.text(
        0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=GREY
    )


def plot_confusion_matrix(path: Path, matrix: np.ndarray, names: Sequence[str]) -> Path:
    """Draw matrix [nc + 1, nc + 1] (rows predicted, columns true, background last), each column as
    shares of its sum.

    A column without entries stays blank. Shares are written into the cells while they can be read.
    """
    counts = np.asarray(matrix, dtype=float)
    size = len(counts)
    sums = counts.sum(0, keepdims=True)
    shares = np.divide(counts, sums, out=np.full_like(counts, math.nan), where=sums > 0)
    side = min(max(4.2 + 0.36 * size, 5), 17)
    figure = new_figure(side * 1.12, side)
    axes = style_axes(
        figure.subplots(),
        "Confusion matrix (share of each true class)",
        "True",
        "Predicted",
        grid=False,
    )
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    labels = [*class_labels(names), "background"]
    font = min(9.0, 72 * side * 0.72 / size * 0.8)
    shown = labels if font > 3.5 else []
    axes.set_xticks(range(len(shown)), shown, rotation=90 if size > 5 else 0, fontsize=font)
    axes.set_yticks(range(len(shown)), shown, fontsize=font)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(
        which="minor",
        color="white" if size <= 30 else "#f4f6f8",
        linewidth=1.5 if size <= 30 else 0.4,
    )
    axes.tick_params(which="minor", length=0)
    if size <= 31:
        _write_cells(axes, shares, counts, min(9.0, 72 * side * 0.72 / size * 0.33))
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
    outline: Any = bar.outline  # older type hints call it a Spine that is called
    outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
    return save_figure(figure, path)


def _write_cells(axes: Axes, shares: np.ndarray, counts: np.ndarray, font: float) -> None:
    """Share in each cell, and the count below it where there is room (few classes)."""
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


def plot_labels(
    folder: Path, centres: np.ndarray, classes: np.ndarray, names: Mapping[int, str]
) -> Path:
    """Draw labels.jpg: objects a class, the boxes' outlines, and where centres and sizes lie.

    centres: [N, 4] x, y, width, height as shares of the image (share_boxes makes them). classes:
    [N].
    """
    figure = new_figure(13.5, 8.5)
    axes = figure.subplot_mosaic([["classes"] * 3, ["outlines", "centres", "sizes"]])
    _draw_class_counts(axes["classes"], classes, names)
    colors = class_colors(max(len(names), 1))
    _draw_outlines(
        axes["outlines"], centres, [colors[int(number) % len(colors)] for number in classes]
    )
    _draw_density(axes["centres"], centres[:, 0], centres[:, 1])
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
    """Boxes [N, 4] xyxy in pixels as centre and size [N, 4] as shares of the image. sizes: [N, 2]
    height, width.
    """
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    scale = np.asarray(sizes, dtype=float).reshape(-1, 2)[:, ::-1]
    lower, upper = boxes[:, :2] / scale, boxes[:, 2:] / scale
    return np.concatenate(((lower + upper) / 2, upper - lower), axis=1)


def _draw_class_counts(axes: Axes, classes: np.ndarray, names: Mapping[int, str]) -> None:
    numbers = sorted(names)
    tally = np.bincount(np.asarray(classes, dtype=int), minlength=max(numbers, default=0) + 1)
    counts = [int(tally[number]) for number in numbers]
    style_axes(
        axes,
        f"{sum(counts):,} labels of {len(numbers)} {'class' if len(numbers) == 1 else 'classes'}",
    )
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
        steep = len(counts) > 12
        font = 9 if len(counts) <= 40 else 7
        shown = class_labels([names[number] for number in numbers])
        axes.set_xticks(range(len(counts)), shown, rotation=90 if steep else 0, fontsize=font)
        axes.bar_label(
            bars,
            [f"{count:,}" for count in counts],
            fontsize=font - 1,
            color=INK,
            padding=2,
            rotation=90 if len(counts) > 40 else 0,
        )


def _draw_outlines(axes: Axes, centres: np.ndarray, colors: Sequence[object]) -> None:
    """Boxes laid over each other with one common centre, at most 2000 of them, evenly chosen."""
    from matplotlib.collections import PolyCollection

    style_axes(
        axes,
        "Boxes around one centre",
        "width, share of the image's",
        "height, share of the image's",
    )
    chosen = np.unique(np.linspace(0, len(centres) - 1, min(len(centres), 2000)).astype(int))
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    outlines = centres[chosen, None, 2:] * corners
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
    """Two-dimensional histogram over the unit square; the root of counts decides the shade, so rare
    places show.
    """
    table, _, _ = np.histogram2d(x, y, bins=bins, range=((0, 1), (0, 1)))
    shades = np.where(table > 0, np.sqrt(table), math.nan).T
    axes.imshow(
        shades,
        origin="lower",
        extent=(0, 1, 0, 1),
        cmap="YlGnBu",
        aspect="auto",
        interpolation="nearest",
        vmin=-0.3 * np.sqrt(table.max()),
    )
    axes.set_facecolor("#f4f7f9")
    axes.set_box_aspect(1)


def plot_correlogram(folder: Path, centres: np.ndarray) -> Path:
    """Draw labels_correlogram.jpg: each of x, y, width, height against each other. centres: as for
    plot_labels.
    """
    variables = ("x", "y", "width", "height")
    figure = new_figure(9, 9, dpi=120)
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


def plot_study(path: Path, studies: Mapping[str, Sequence[Sequence[float]]]) -> Path:
    """Draw accuracy over time, a line a model.

    studies: name -> rows (imgsz, milliseconds a image, mAP50-95, mAP50).
    """
    figure = new_figure(12, 5.5)
    panels = figure.subplots(1, 2)
    for axes, column, title in zip(panels, (2, 3), ("mAP50-95", "mAP50"), strict=True):
        style_axes(axes, f"{title} over time", "milliseconds a image", title)
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
