"""The figure and the sentences of what engine/explain/checks.py found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import BLUE, GREY, INK, ORANGE, printable, style_axes
from engine.explain.checks import STEPS, CheckResult
from engine.explain.panels import figure_with
from engine.explain.sanity import NETWORKS, Sanity, mean_likeness
from engine.explain.settings import METHODS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_check(result: CheckResult, label: str) -> Figure:
    """Likeness to the maps of randomised networks, and score over deleted pixels."""
    caption = (
        f"{printable(label)}: tests of the {METHODS[result.method]} map of"
        f" {printable(result.name)}. Left: weights are randomised from the last row to the first"
        f" (Adebayo et al. 2018). With all of them random (crosses: {NETWORKS} networks) the map"
        " should change more than by mirroring the image, or be less like those of random networks"
        " than these are like each other. Right: deleting what the map marks should lower the score"
        " faster than deleting by noise (Petsiuk et al. 2018)."
    )
    figure = figure_with(caption, 9.0, 3.4)
    left, right = figure.subplots(1, 2)
    _draw_sanity(left, result.sanity)
    style_axes(right, "Deletion", "share of pixels deleted", "share of the score left")
    share = np.linspace(0, 1, STEPS + 1)
    by_map, by_noise = result.areas
    right.plot(share, result.deletion, "-", color=BLUE, label=f"map, area {by_map:.2f}")
    right.plot(share, result.noise, "--", color=GREY, label=f"noise, area {by_noise:.2f}")
    right.legend(fontsize=8, frameon=False)
    return figure


def _draw_sanity(axes: Axes, sanity: Sanity) -> None:
    style_axes(axes, "Randomised from the top", "rows randomised", "rank correlation with the map")
    values = [one.rank for one in sanity.cascade]
    everything = sanity.counts[-1]
    axes.plot([0, *sanity.counts], [1, *values], "o-", color=BLUE, markersize=4, label="weights")
    others = [one.rank for one in sanity.random[1:]]
    axes.plot([everything] * len(others), others, "x", color=BLUE, markersize=5)
    among = mean_likeness(sanity.peers).rank
    lines = [("random networks among each other", among, GREY, ":")]
    if sanity.mirrored is not None:
        lines.append(("image mirrored", sanity.mirrored.rank, ORANGE, "--"))
    for name, value, colour, style in lines:
        axes.axhline(value, color=colour, linestyle=style, label=f"{name}: {value:.2f}")
    axes.set_ylim(min(-0.1, *values, *others, among) - 0.02, 1.05)
    axes.legend(fontsize=8, frameon=False, labelcolor=INK)


def sentences_of(result: CheckResult) -> list[str]:
    """The two verdicts, a line each."""
    what = f"{METHODS[result.method]} of {printable(result.name)}"
    by_map, by_noise = result.areas
    faster = "faster than" if by_map < by_noise else "no faster than"
    return [
        f"{what}: {_verdict(result.sanity)}",
        f"{what}: the score falls {faster} by noise as pixels are deleted (area {by_map:.2f}, noise"
        f" {by_noise:.2f})",
    ]


def _verdict(sanity: Sanity) -> str:
    random, among = mean_likeness(sanity.random).rank, mean_likeness(sanity.peers).rank
    measured = (
        f"rank correlation with the maps of {NETWORKS} random networks {random:.2f}, of these among"
        f" each other {among:.2f}, with that of the mirrored image "
        + ("not told" if sanity.mirrored is None else f"{sanity.mirrored.rank:.2f}")
    )
    found = []
    if sanity.is_apart:
        found.append("it is set apart from random networks")
    if sanity.is_changed:
        found.append("they change it more than mirroring does")
    return f"{measured}: {' and '.join(found) or 'nothing shows that it depends on weights'}"
