"""A study's charts as SVG: forest plot, benefit against latency, learning curves.

Each is drawn in two formats, for a window and for a phone, because a phone would shrink the text of
a wide chart. Verdicts differ in shape as well as in colour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ablation.report.drawing import (
    COLORS,
    FONT_SIZE,
    as_svg,
    new_axes,
    new_chart,
    style_panel,
)
from ablation.report.summary import Line, compared, is_control
from ablation.study import PLAIN
from utils.tables import cut_to_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ablation.statistics.verdicts import ArmVerdict

MARKERS = {"helps": ("helps", "^"), "hurts": ("hurts", "v"), "no evidence": ("none", "o")}
SHOWN_FROM = 0.6  # share of the best score at which the axis of learning curves begins


def style_of(verdict: ArmVerdict | None) -> tuple[str, str]:
    """(colour, marker) of a verdict."""
    color, marker = MARKERS.get(verdict.verdict if verdict else "", MARKERS["no evidence"])
    return COLORS[color], marker


def forest(lines: Sequence[Line], delta: float, is_narrow: bool) -> str:
    """Each arm's difference with its simultaneous interval, in points.

    The shaded band shows what noise alone does. It extends to either side of 0 by half the interval
    of A/A, which is the baseline under other seeds. The dashed lines are at +-delta.

    Args:
        lines: lines of the report.
        delta: smallest difference of interest, in 0..1.
        is_narrow: whether the chart is for a phone.

    Returns:
        SVG, or "" if no arm was compared.
    """
    arms = compared(lines)
    if not arms:
        return ""
    figure, axes = new_axes(is_narrow, 1.1 + 0.32 * len(arms))
    for line, verdict in arms:
        if is_control(line.name) and math.isfinite(sum(limits(verdict))):
            reach = (limits(verdict)[1] - limits(verdict)[0]) / 2
            axes.axvspan(-reach, reach, color=COLORS["band"], linewidth=0, zorder=0)
    axes.axvline(0, color=COLORS["ink"], linewidth=1, zorder=1)
    for side in (-delta, delta):
        axes.axvline(
            100 * side, color=COLORS["muted"], linewidth=0.9, linestyle=(0, (4, 3)), zorder=1
        )
    # Positions on the y axis count from below, and the first arm must be at the top.
    for place, (_, verdict) in enumerate(arms):
        draw_interval(axes, verdict, len(arms) - 1 - place)
    width = 20 if is_narrow else 46
    axes.set_yticks(range(len(arms)), [label(line, width) for line, _ in reversed(arms)])
    axes.set_ylim(-0.6, len(arms) - 0.4)
    axes.set_xlabel("mAP50-95 minus the baseline's, points")
    return as_svg(figure, f"forest {is_narrow}")


def limits(verdict: ArmVerdict) -> tuple[float, float]:
    """The interval in points."""
    return 100 * verdict.low, 100 * verdict.high


def draw_interval(axes: Axes, verdict: ArmVerdict, height: float) -> None:
    """Draw an arm's difference, and its interval if it has one.

    Args:
        axes: where to draw.
        verdict: the arm's verdict.
        height: position on the y axis.
    """
    color, marker = style_of(verdict)
    low, high = limits(verdict)
    if math.isfinite(low + high):
        axes.plot(
            [low, high],
            [height, height],
            color=color,
            linewidth=2,
            solid_capstyle="round",
            zorder=2,
        )
    axes.plot(
        [100 * verdict.difference],
        [height],
        color=color,
        marker=marker,
        markersize=7,
        markeredgecolor=COLORS["paper"],
        zorder=3,
    )


def label(line: Line, width: int) -> str:
    """An arm's number and name, cut to a width in characters."""
    return cut_to_width(f"{line.number}  {' '.join(line.name.split())}", width)


def cost_benefit(lines: Sequence[Line], is_narrow: bool) -> str:
    """Each arm's difference in points against its latency as a multiple of the baseline's.

    Arms are discs with their numbers. Dominated ones are grey: another arm is at least as fast and
    as good, and better in one of the two. Returns SVG, or "" if no latency is known.
    """
    arms = [
        (line, verdict, line.costs.latency_ratio)
        for line, verdict in compared(lines)
        if line.costs is not None
        and line.costs.latency_ratio is not None
        and not is_control(line.name)
    ]
    if not arms:
        return ""
    figure, axes = new_axes(is_narrow, 4.2 if is_narrow else 4.6, grid="both")
    axes.axhline(0, color=COLORS["muted"], linewidth=0.9)
    axes.axvline(1, color=COLORS["muted"], linewidth=0.9)
    axes.plot([1], [0], color=COLORS["ink"], marker="s", markersize=8, zorder=4)
    axes.annotate(
        PLAIN, (1, 0), xytext=(-7, -12), textcoords="offset points", ha="right", fontsize=FONT_SIZE
    )
    # The dominated arms are drawn first, so that they never cover the others.
    for line, verdict, ratio in sorted(arms, key=lambda arm: not arm[0].is_dominated):
        draw_point(axes, line, verdict, ratio)
    axes.margins(0.12)
    axes.set_xlabel("latency, × the baseline's")
    axes.set_ylabel("mAP50-95 minus the baseline's, points")
    return as_svg(figure, f"cost {is_narrow}")


def draw_point(axes: Axes, line: Line, verdict: ArmVerdict, x: float) -> None:
    """Draw an arm as its number in a disc, with its interval.

    Args:
        axes: where to draw.
        line: the arm.
        verdict: the arm's verdict.
        x: latency divided by the baseline's.
    """
    y, is_faded = 100 * verdict.difference, line.is_dominated
    color = COLORS["grid"] if is_faded else style_of(verdict)[0]
    low, high = limits(verdict)
    if math.isfinite(low + high):
        axes.plot([x, x], [low, high], color=color, linewidth=1.5, zorder=2)
    axes.plot(
        [x],
        [y],
        marker="o",
        markersize=14,
        color=color,
        markeredgecolor=COLORS["paper"],
        zorder=3 if is_faded else 5,
    )
    axes.annotate(
        str(line.number),
        (x, y),
        ha="center",
        va="center",
        fontsize=8,
        color=COLORS["muted"] if is_faded else COLORS["paper"],
        zorder=6,
    )


def learning(curves: Mapping[str, np.ndarray], lines: Sequence[Line], is_narrow: bool) -> str:
    """A panel for each arm with its learning curve over the baseline's, which is grey and dashed.

    Args:
        curves: mAP50-95 in 0..1 [seeds, epochs] by arm.
        lines: lines of the report.
        is_narrow: whether the chart is for a phone.

    Returns:
        SVG, or "" if there are no curves.
    """
    plain = curves.get(PLAIN, np.zeros((0, 0)))
    arms = [line for line in lines if line.name != PLAIN and curves.get(line.name, plain[:0]).size]
    if not arms and not plain.size:
        return ""
    across = min(2 if is_narrow else 4, max(len(arms), 1))
    down = -(-max(len(arms), 1) // across)
    # All panels share their axes, so that curves can be compared across them.
    figure = new_chart(is_narrow, 0.6 + 1.75 * down)
    panels = list(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flat)
    for panel in panels:
        style_panel(panel, "both")
        panel.axis("off")
    shown: list[Line | None] = [*arms] or [None]
    for panel, line in zip(panels, shown, strict=False):
        draw_panel(panel, line, curves, plain)
    set_score_limits(panels[0], np.concatenate([values.ravel() for values in curves.values()]))
    figure.supxlabel("epoch", fontsize=FONT_SIZE, color=COLORS["ink"])
    figure.supylabel("mAP50-95, %", fontsize=FONT_SIZE, color=COLORS["ink"])
    return as_svg(figure, f"curves {is_narrow}")


def draw_panel(
    panel: Axes, line: Line | None, curves: Mapping[str, np.ndarray], plain: np.ndarray
) -> None:
    """Draw one panel of the learning curves.

    Args:
        panel: where to draw.
        line: the arm; None for the baseline alone.
        curves: scores in 0..1 [seeds, epochs] by arm.
        plain: the baseline's scores [seeds, epochs].
    """
    from matplotlib.ticker import MaxNLocator

    panel.axis("on")
    draw_curve(panel, plain, COLORS["muted"], "--")
    if line is not None:
        is_decided = line.verdict is not None and line.verdict.verdict in ("helps", "hurts")
        color = style_of(line.verdict)[0] if is_decided else COLORS["curve"]
        draw_curve(panel, curves[line.name], color)
    text = label(line, 20) if line else PLAIN
    panel.set_title(text, fontsize=FONT_SIZE, loc="left", color=COLORS["ink"])
    panel.tick_params(labelbottom=True)
    panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def set_score_limits(panel: Axes, scores: np.ndarray) -> None:
    """Begin the axis at SHOWN_FROM of the best score, or at 0 if the curves are mostly below that.

    The differences of interest are small and late, where a long curve is nearly flat. A short curve
    is mostly its steep beginning, which would be cut off.
    """
    best = float(scores.max())
    if best > 0:
        is_long = float(np.median(scores)) > best * SHOWN_FROM
        panel.set_ylim(100 * best * SHOWN_FROM if is_long else 0, 100 * best * 1.02)


def draw_curve(axes: Axes, values: np.ndarray, color: str, dash: str = "-") -> None:
    """Draw the mean over seeds, and a band from the lowest to the highest.

    Args:
        axes: where to draw.
        values: scores in 0..1 [seeds, epochs].
        color: colour of both.
        dash: line style of the mean.
    """
    if not values.size:
        return
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        axes.fill_between(
            epochs, 100 * values.min(0), 100 * values.max(0), color=color, alpha=0.22, linewidth=0
        )
    is_point = values.shape[1] == 1  # A line through one epoch would not be visible.
    axes.plot(
        epochs,
        100 * values.mean(0),
        color=color,
        linewidth=1.6,
        linestyle=dash,
        marker="o" if is_point else "",
    )
