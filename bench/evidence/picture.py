"""The picture of all modules: each difference with its interval, a panel for each data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.evidence.studies import DELTA, Study
from engine.drawing.figures import BLUE, GREY, INK, ORANGE, make_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"paper": ORANGE, "identity": BLUE}
LABELS = {"paper": "starts as in its paper", "identity": "starts as an identity"}
OFFSETS = {"paper": -0.16, "identity": 0.16}
LINEAR = 2.0  # points up to which the axis is linear; beyond, it is logarithmic
TICKS = (-40, -20, -10, -5, -2, -1, 0, 1, 2)


def draw_all(studies: Sequence[Study], path: Path) -> Path:
    """Draw the main studies.

    Args:
        studies: all studies.
        path: the picture to write.

    Returns:
        path.
    """
    main = [study for study in studies if study.is_main]
    names = ordered(main)
    sets = list(dict.fromkeys(study.data for study in main))
    figure = make_figure(13.5, 1.4 + 2.9 * len(sets), dpi=120)
    panels = figure.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
    for axes, data in zip(panels, sets, strict=True):
        draw_panel(axes, [study for study in main if study.data == data], names)
    panels[-1].set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    panels[0].legend(
        loc="lower left", ncols=3, fontsize=8.5, frameon=False, labelcolor=INK, borderaxespad=0.2
    )
    return save_figure(figure, path)


def ordered(studies: Sequence[Study]) -> list[str]:
    """All modules, by the mean of their differences, the best first."""
    names = {name for study in studies for name in study.modules}

    def mean(name: str) -> float:
        return float(
            np.mean([one.modules[name].difference for one in studies if name in one.modules])
        )

    return sorted(names, key=lambda name: (mean(name), name), reverse=True)


def draw_panel(axes: Axes, studies: Sequence[Study], names: Sequence[str]) -> None:
    """Draw the studies of one data set.

    Args:
        axes: where.
        studies: its studies, one for each start.
        names: the modules, in the order of the axis.
    """
    first = studies[0]
    title = f"{first.data}: mAP50-95 minus the plain graph's ({first.plain:.1f}), points"
    style_axes(axes, title)
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.axhspan(-DELTA, DELTA, color=GREY, alpha=0.18, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    lowest = 0.0
    for study in studies:
        color = COLORS[study.start]
        for position, name in enumerate(names):
            row = study.modules.get(name)
            if row is None:
                continue
            x = position + OFFSETS[study.start]
            decided = row.verdict != "no evidence"
            axes.plot([x, x], [row.low, row.high], color=color, linewidth=1.3, alpha=0.85)
            axes.plot(
                x, row.difference, marker={"helps": "^", "hurts": "v"}.get(row.verdict, "o"),
                markersize=5, color=color, markerfacecolor=color if decided else "white",
            )  # fmt: skip
            lowest = min(lowest, row.low)
        axes.plot(
            [], [], color=color, marker="o", markerfacecolor="white", label=LABELS[study.start]
        )
    axes.plot([], [], color=INK, marker="v", linewidth=0, label="filled: helps ▲ or hurts ▼")
    ticks = [tick for tick in TICKS if tick >= lowest * 2]
    axes.set_yticks(ticks, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(lowest * 1.15 if lowest < -1 else -1.5, None)
    axes.set_xlim(-0.8, len(names) - 0.2)
