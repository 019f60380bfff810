"""The chart of a search: the fitness of each trial, the best so far, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.drawing.figures import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    make_figure,
    save_figure,
    style_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = {"complete": (BLUE, "o"), "pruned": (GREY, "v"), "failed": (ORANGE, "x")}
MOST_BARS = 12


@dataclass(frozen=True)
class Point:
    """A trial that has ended: its number, state (a key of LOOKS) and fitness."""

    number: int
    state: str
    fitness: float


def draw_search(path: Path, points: Sequence[Point], shares: Mapping[str, float]) -> Path:
    """Draw a search.

    Args:
        path: The file to write, tune.png.
        points: The trials that have ended, at least one.
        shares: Hyperparameter -> its importance; {} leaves that panel out.

    Returns:
        path.
    """
    figure = make_figure(9.5 if shares else 6.0, 4.2)
    places = figure.subplots(1, 2 if shares else 1, squeeze=False)[0]
    _draw_history(places[0], points)
    if shares:
        _draw_importance(places[1], shares)
    return save_figure(figure, path)


def _draw_history(axes: Axes, points: Sequence[Point]) -> None:
    from matplotlib.ticker import MaxNLocator

    style_axes(axes, "Trials", "trial", "fitness")
    for state, (color, marker) in LOOKS.items():
        own = [one for one in points if one.state == state]
        if own:
            axes.scatter(
                [one.number for one in own],
                [one.fitness for one in own],
                s=22,
                c=color,
                marker=marker,
                label=state if state == "complete" else f"{state} (highest reached)",
            )
    done = sorted((one for one in points if one.state == "complete"), key=lambda one: one.number)
    if done:
        best = np.maximum.accumulate([one.fitness for one in done])
        numbers = [one.number for one in done]
        axes.step(numbers, best, where="post", color=INK, linewidth=1.2, label="best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylim(bottom=0)
    axes.margins(y=0.1)
    axes.legend(fontsize=8, frameon=False)


def _draw_importance(axes: Axes, shares: Mapping[str, float]) -> None:
    style_axes(axes, "What sets the best trials apart", "share (PED-ANOVA)")
    top = sorted(shares.items(), key=lambda one: one[1])[-MOST_BARS:]
    axes.barh([name for name, _ in top], [share for _, share in top], color=BLUE, height=0.6)
    axes.grid(visible=False, axis="y")
