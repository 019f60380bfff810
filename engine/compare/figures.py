"""PR curves, learning curves and costs of errors of several groups of runs.

A line or a bar is the mean over the seeds of a group. The band behind a line reaches
from the lowest of them to the highest; the whisker of a bar is their standard deviation.
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
    bar_style,
    legend_name,
    line_style,
    name_axis,
    new_panels,
)
from engine.evaluation.average_precision import CONFIDENCES
from engine.evaluation.error_kinds import KINDS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BAR_GAP = 1.0  # between two kinds of errors, in bars
WHISKER = "#555555"


def pr_figure(groups: Sequence[RunGroup], style: PaperStyle) -> Figure | None:
    """Precision over recall at IoU .5, the mean of the classes; None if no run has curves."""
    figure, (axes,) = new_panels(style, [0.78 * style.width])
    count = 0
    for number, group in enumerate(groups):
        curves = [run.curves.pr.mean(0) for run in group.runs if run.curves and run.curves.names]
        if not curves:
            continue
        count += 1
        draw_line(
            axes, number, _scored_label(group, style), CONFIDENCES, np.array(curves), _faint(groups)
        )
    if not count:
        return None
    axes.set(xlim=(0, 1), ylim=(0, 1.01))
    name_axis(axes, style, "Recall", "Precision")
    add_legend(figure, axes, style)
    return figure


def learning_figure(groups: Sequence[RunGroup], style: PaperStyle) -> Figure | None:
    """mAP50 and mAP50-95 over the epochs; None if no run has a history."""
    from matplotlib.ticker import MaxNLocator

    figure, panels = new_panels(style, [0.5 * style.width, 0.5 * style.width])
    drawn = 0
    for axes, name, words in zip(panels, ("map50", "map"), ("mAP50", "mAP50-95"), strict=True):
        for number, group in enumerate(groups):
            epochs, scores = aligned(group, name)
            if len(epochs):
                drawn += 1
                draw_line(axes, number, _label(group, style), epochs, 100 * scores, _faint(groups))
        axes.set_ylim(0, None)
        name_axis(axes, style, "", f"{words}, %")
    if not drawn:
        return None
    name_axis(panels[-1], style, "Epoch", "mAP50-95, %")
    panels[-1].xaxis.set_major_locator(MaxNLocator(6, integer=True))
    add_legend(figure, panels[-1], style)
    return figure


def error_figure(groups: Sequence[RunGroup], style: PaperStyle) -> Figure | None:
    """Bars of the points of mAP50 that each kind of error costs; None if no run has them."""
    known = [(number, group) for number, group in enumerate(groups) if _has_errors(group)]
    if not known:
        return None
    each = len(known) + BAR_GAP  # places of a kind
    height = len(KINDS) * each * max(0.075, 0.28 / len(known)) + 3 * style.font_size / 72
    figure, (axes,) = new_panels(style, [height])
    starts = each * np.arange(len(KINDS))
    for place, (number, group) in enumerate(known):
        costs = group.error_costs()
        axes.barh(
            starts + place,
            [100 * cost.mean for cost in costs],
            0.9,
            xerr=[100 * np.nan_to_num(cost.deviation) for cost in costs],
            error_kw={"ecolor": WHISKER, "elinewidth": 0.8},
            label=_label(group, style),
            **bar_style(number),
        )
    axes.set_yticks(starts + (len(known) - 1) / 2, KINDS)
    axes.set_ylim(len(KINDS) * each - BAR_GAP, -1)  # the first kind at the top
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    name_axis(axes, style, "Points of mAP50 that the errors cost")
    add_legend(figure, axes, style)
    return figure


def _has_errors(group: RunGroup) -> bool:
    return any(cost.count for cost in group.error_costs())


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


def draw_line(
    axes: Axes, number: int, label: str, x: np.ndarray, values: np.ndarray, faint: float = 0.15
) -> None:
    """Draw the mean of [runs, n] values over x [n], and the band of several runs.

    Args:
        axes: Where to draw.
        number: The line's number, which chooses its look.
        label: The line's name in the legend.
        x: Places.
        values: A row for each run.
        faint: The opacity of the band.
    """
    look = line_style(number, len(x))
    if len(values) > 1:
        low, high = values.min(0), values.max(0)
        axes.fill_between(x, low, high, color=look["color"], alpha=faint, linewidth=0)
    axes.plot(x, values.mean(0), label=label, **look)


def _faint(groups: Sequence[RunGroup]) -> float:
    """The opacity of bands, of which many lie on top of each other."""
    return min(0.15, 0.6 / len(groups))


def _label(group: RunGroup, style: PaperStyle) -> str:
    seeds = f"(n = {len(group.runs)})" if len(group.runs) > 1 else ""
    return legend_name(group.label, seeds, style)


def _scored_label(group: RunGroup, style: PaperStyle) -> str:
    """A group's name with its mAP50."""
    found = group.score("map50")
    deviation = f" ± {100 * found.deviation:.1f}" if found.count > 1 else ""
    return legend_name(group.label, f"(mAP50 {100 * found.mean:.1f}{deviation} %)", style)
