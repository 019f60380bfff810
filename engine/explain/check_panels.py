"""The figure and the sentence of what engine/explain/checks.py found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import BLUE, GREY, make_figure, printable, style_axes
from engine.explain.checks import STEPS, CheckResult
from engine.explain.panels import add_caption
from engine.explain.settings import METHODS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHANGED = 0.5  # rank correlation below which a map counts as another one


def draw_check(result: CheckResult, label: str) -> Figure:
    """Rank correlation over randomised rows, and score over deleted pixels."""
    figure = make_figure(8.0, 3.6)
    left, right = figure.subplots(1, 2)
    style_axes(left, "Randomised from the top", "rows randomised", "rank correlation")
    left.plot([0, *result.randomised], [1, *result.correlations], "o-", color=BLUE)
    left.set_ylim(min(-0.1, *result.correlations), 1.05)
    style_axes(right, "Deletion", "share of pixels deleted", "share of the score left")
    share = np.linspace(0, 1, STEPS + 1)
    by_map, by_noise = result.areas
    right.plot(share, result.deletion, "-", color=BLUE, label=f"map, area {by_map:.2f}")
    right.plot(share, result.noise, "--", color=GREY, label=f"noise, area {by_noise:.2f}")
    right.legend(fontsize=8, frameon=False)
    method = METHODS[result.method]
    add_caption(
        figure,
        f"{printable(label)}: tests of the {method} map of {printable(result.name)}. Left: a map of"
        " what was learnt changes as weights are randomised (Adebayo et al. 2018). Right: deleting"
        " what it marks lowers the score faster than noise does (Petsiuk et al. 2018).",
    )
    return figure


def sentence_of(result: CheckResult) -> str:
    """The verdicts in one line."""
    last = result.correlations[-1]
    by_map, by_noise = result.areas
    depends = "depends" if abs(last) < CHANGED else "hardly depends"
    marks = "marks what the score needs" if by_map < by_noise else "marks no more than noise does"
    return (
        f"{METHODS[result.method]} of {printable(result.name)}: {depends} on the weights (rank"
        f" correlation {last:.2f} with all rows randomised), {marks} (area of deletion"
        f" {by_map:.2f}, of noise {by_noise:.2f})"
    )
