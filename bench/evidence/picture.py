"""The picture of all modules: each difference with its interval, a panel for each data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.evidence.studies import DELTA, Study
from engine.drawing.figures import BLUE, GREY, INK, ORANGE, make_figure, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {"paper": ORANGE, "identity": BLUE}
LABELS = {"paper": "starts as in its paper", "identity": "starts as an identity"}
OFFSETS = {"paper": -0.16, "identity": 0.16}
LINEAR = 2.0  # points up to which the axis is linear; beyond, it is logarithmic
TICKS = (-40, -20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20)
NAME_WIDTH = 0.19  # of a module's column, inches


def draw_all(studies: Sequence[Study], path: Path) -> Path:
    """Draw the main studies.

    Args:
        studies: all studies.
        path: the picture to write.

    Returns:
        path.
    """
    main = [study for study in studies if study.is_main]
    names = dict.fromkeys(study.data for study in main)
    sets = [[study for study in main if study.data == name] for name in names]
    most = max(len(ordered(own)) for own in sets)
    figure = make_figure(1.5 + NAME_WIDTH * most, 4.2 * len(sets), dpi=120)
    panels = figure.subplots(len(sets), 1, squeeze=False)[:, 0]
    for axes, own in zip(panels, sets, strict=True):
        draw_panel(axes, own)
    return save_figure(figure, path)


def ordered(studies: Sequence[Study]) -> list[str]:
    """All modules, the best first, by the first study that has them.

    A mean over studies would mix modules that not all studies have.
    """
    place: dict[str, tuple[int, float]] = {}
    for number, study in enumerate(studies):
        for name, row in study.modules.items():
            place.setdefault(name, (number, -row.difference))
    return sorted(place, key=lambda name: (place[name], name))


def draw_panel(axes: Axes, studies: Sequence[Study]) -> None:
    """Draw the studies of one data set.

    Args:
        axes: where.
        studies: its studies, one for each start.
    """
    names = ordered(studies)
    style_axes(axes, f"{studies[0].data}: mAP50-95 minus the plain graph's")
    axes.set_ylabel(f"points, logarithmic beyond ±{LINEAR:g}", fontsize=8.5)
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.axhspan(-DELTA, DELTA, color=GREY, alpha=0.18, linewidth=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    lowest, highest = 0.0, 0.0
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
            lowest, highest = min(lowest, row.low), max(highest, row.high)
        axes.plot(
            [], [], color=color, marker="o", markerfacecolor="white",
            label=f"{LABELS[study.start]} (plain {study.plain:.1f})",
        )  # fmt: skip
    axes.plot([], [], color=INK, marker="v", linewidth=0, label="filled: helps ▲ or hurts ▼")
    axes.legend(loc="lower left", ncols=3, fontsize=8.5, frameon=False, labelcolor=INK)
    axes.set_yticks(TICKS, [f"{tick:+d}".replace("-", "−") if tick else "0" for tick in TICKS])
    axes.minorticks_off()
    axes.set_ylim(min(1.5 * lowest, -1.5), max(1.15 * highest, 1.5))
    axes.set_xlim(-0.8, len(names) - 0.2)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
