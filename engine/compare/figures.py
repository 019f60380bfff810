"""PR curves and learning curves of several groups of runs.

A line is the mean over the seeds of a group, and the band behind it reaches from the lowest to the
highest of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from engine.compare.groups import RunGroup
from engine.compare.paper import (
    PaperStyle,
    add_legend,
    line_style,
    name_axis,
    new_panels,
)
from engine.drawing.figures import printable
from engine.evaluation.average_precision import CONFIDENCES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LABEL = 40  # characters of a name in a legend


def pr_figure(groups: Sequence[RunGroup], style: PaperStyle) -> Figure | None:
    """Precision over recall at IoU .5, the mean of the classes; None if no run has curves."""
    figure, (axes,) = new_panels(style, [_height(style, 0.78, len(groups))])
    count = 0
    for number, group in enumerate(groups):
        curves = [run.curves.pr.mean(0) for run in group.runs if run.curves and run.curves.names]
        if not curves:
            continue
        count += 1
        draw_line(axes, number, _scored_label(group), CONFIDENCES, np.array(curves))
    if not count:
        return None
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    name_axis(axes, style, "Recall", "Precision")
    add_legend(figure, axes, style)
    return figure


def learning_figure(groups: Sequence[RunGroup], style: PaperStyle) -> Figure | None:
    """mAP50 and mAP50-95 over the epochs; None if no run has a history."""
    from matplotlib.ticker import MaxNLocator

    heights = [_height(style, 0.5), _height(style, 0.5, len(groups))]
    figure, panels = new_panels(style, heights)
    drawn = 0
    for axes, name, words in zip(panels, ("map50", "map"), ("mAP50", "mAP50-95"), strict=True):
        for number, group in enumerate(groups):
            epochs, scores = aligned(group, name)
            if len(epochs):
                drawn += 1
                draw_line(axes, number, _label(group), epochs, 100 * scores)
        axes.set_ylim(0, None)
        name_axis(axes, style, "", f"{words}, %")
    if not drawn:
        return None
    name_axis(panels[-1], style, "Epoch", "mAP50-95, %")
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    add_legend(figure, panels[-1], style)
    return figure


def aligned(group: RunGroup, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs that all runs of a group have, [n], and a score of each run in them, [runs, n].

    The mean over a changing number of runs would jump where one of them ends.
    """
    known = [
        {
            epoch: score
            for epoch, score in zip(run.epochs, run.history[name], strict=True)
            if math.isfinite(score)
        }
        for run in group.runs
        if run.epochs
    ]
    common = sorted(set.intersection(*(set(scores) for scores in known))) if known else []
    rows = [[scores[epoch] for epoch in common] for scores in known]
    return np.array(common), np.array(rows).reshape(len(known), len(common))


def draw_line(axes: Axes, number: int, label: str, x: np.ndarray, values: np.ndarray) -> None:
    """Draw the mean of [runs, n] values over x [n], and the band of several runs.

    Args:
        axes: Where to draw.
        number: The line's number, which chooses its look.
        label: The line's name in the legend.
        x: Places.
        values: A row for each run.
    """
    look = line_style(number, len(x))
    if len(values) > 1:
        low, high = values.min(0), values.max(0)
        axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
    axes.plot(x, values.mean(0), label=label, **look)


def _height(style: PaperStyle, share: float, lines: int = 0) -> float:
    """Inches of a panel of this share of the width, with a legend of so many lines below it."""
    return style.width * share + lines * style.font_size * 1.35 / 72


def _label(group: RunGroup) -> str:
    seeds = f" (n = {len(group.runs)})" if len(group.runs) > 1 else ""
    return printable(group.label, MOST_LABEL) + seeds


def _scored_label(group: RunGroup) -> str:
    """A group's name with its mAP50."""
    found = group.score("map50")
    deviation = f" ± {100 * found.deviation:.1f}" if found.count > 1 else ""
    return f"{printable(group.label, MOST_LABEL)}: mAP50 {100 * found.mean:.1f}{deviation} %"
