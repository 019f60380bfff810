"""The table and the learning curves of bench/finetune.py."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.beside.programs import OURS, YOLOV5
from bench.finetune_runs import Result
from bench.markdown_table import markdown_rows
from utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Blue and vermilion of Okabe and Ito, which differ for all kinds of colour vision and in grey.
COLOURS = {OURS: "#0072B2", YOLOV5: "#D55E00"}
MARKERS = {OURS: "o", YOLOV5: "s"}
FINETUNE_HEADERS = (
    "data set",
    "trained by",
    "mAP50-95 by this project's val",
    "mAP50-95 by YOLOv5's val",
    "mAP50-95 after epoch 1",
    "seconds a run",
)


def of_sets(results: Sequence[Result]) -> dict[str, dict[str, list[Result]]]:
    """The results by data set and program, in the order in which they come."""
    found: dict[str, dict[str, list[Result]]] = {}
    for one in results:
        found.setdefault(one.dataset, {}).setdefault(one.program, []).append(one)
    return found


def result_table(results: Sequence[Result]) -> str:
    """A Markdown table with a row for each data set and program: means, and the single seeds."""
    rows = []
    for dataset, programs in of_sets(results).items():
        for program, runs in programs.items():
            scores = [
                mean_and_seeds([run.scores[scorer][1] for run in runs if scorer in run.scores])
                for scorer in (OURS, YOLOV5)
            ]
            first = mean_and_seeds([run.map[0] for run in runs])
            seconds = f"{statistics.mean(run.seconds for run in runs):.0f}"
            rows.append([dataset, program, *scores, first, seconds])
    return markdown_rows(FINETUNE_HEADERS, rows)


def mean_and_seeds(values: Sequence[float]) -> str:
    """The mean, and in brackets the values: 0.451 (0.447, 0.455)."""
    if not values:
        return ""
    return f"{statistics.mean(values):.3f} ({', '.join(f'{value:.3f}' for value in values)})"


def draw_curves(results: Sequence[Result], path: Path) -> None:
    """Draw mAP50-95 over epochs, a panel for each data set: single seeds thin, their mean thick.

    The means are of the epochs that all seeds have reached.

    Args:
        results: The results; none draws nothing.
        path: The PNG file to write.
    """
    from matplotlib.figure import Figure

    sets = of_sets(results)
    figure = Figure(figsize=(4.6 * len(sets), 3.6), dpi=160, layout="constrained")
    for number, (dataset, programs) in enumerate(sets.items()):
        axes = figure.add_subplot(1, len(sets), number + 1)
        for program, runs in programs.items():
            draw_program(axes, program, [run.map for run in runs])
        finish_axes(axes, dataset, first=number == 0)
    handles, labels = axes.get_legend_handles_labels()
    columns = min(len(sets), 2)  # the legend of both programs is wider than one panel
    figure.legend(
        handles, labels, loc="outside upper center", ncols=columns, frameon=False, fontsize=10
    )
    with atomic_write(path) as file:
        figure.savefig(file, format="png")


def draw_program(axes: Axes, program: str, curves: Sequence[Sequence[float]]) -> None:
    """Draw the curves of a program's seeds, and their mean with its last value beside it."""
    colour = COLOURS[program]
    for curve in curves:
        axes.plot(range(1, len(curve) + 1), curve, color=colour, linewidth=0.9, alpha=0.5)
    mean = [statistics.mean(values) for values in zip(*curves, strict=False)]
    axes.plot(
        range(1, len(mean) + 1),
        mean,
        color=colour,
        linewidth=2.2,
        marker=MARKERS[program],
        markersize=4.5,
        label=f"{program}, mean of {len(curves)} seeds (thin: each)",
    )
    axes.annotate(
        f"{mean[-1]:.3f}",
        (len(mean), mean[-1]),
        (7, 0),
        textcoords="offset points",
        verticalalignment="center",
        color=colour,
    )


def finish_axes(axes: Axes, dataset: str, first: bool) -> None:
    """Title, labels and scale of a panel; only the first panel names its vertical axis."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title(dataset, loc="left", fontsize=11)
    axes.set_xlabel("epoch")
    if first:
        axes.set_ylabel("mAP50-95 on the validation images")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", linewidth=0.5, alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.03)
    axes.set_ylim(bottom=0)
