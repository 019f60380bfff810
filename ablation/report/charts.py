"""Charts of a study as SVG text for a page: forest plot, benefit against latency, learning curves.

Each is drawn twice, for a wide window and for a phone, since text does not get smaller with a
image there. Colours are variables of the page's style, so that they follow its light or dark
theme, and verdicts differ in shape as well. Text stays text: the browser has fonts for all scripts.
The same study gives the same bytes.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ablation.report.summary import Line, compared, is_control
from ablation.study import PLAIN
from utils.tables import cut_to_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ablation.statistics.verdicts import ArmVerdict

WIDE, NARROW = 9.2, 4.4  # inches; 72 units of an SVG each
COLORS = {
    "ink": "#010101",
    "muted": "#020202",
    "grid": "#030303",
    "paper": "#040404",
    "helps": "#050505",
    "hurts": "#060606",
    "none": "#070707",
    "band": "#080808",
    "curve": "#090909",
}
MARKERS = {"helps": ("helps", "^"), "hurts": ("hurts", "v"), "no evidence": ("none", "o")}
SHOWN_FROM = 0.6
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "axes.unicode_minus": True,
}


def style_of(verdict: ArmVerdict | None) -> tuple[str, str]:
    """(colour, marker) of a verdict."""
    color, marker = MARKERS.get(verdict.verdict if verdict else "", MARKERS["no evidence"])
    return COLORS[color], marker


def forest(lines: Sequence[Line], delta: float, is_narrow: bool) -> str:
    """Difference of each arm with its simultaneous interval, in mAP points; "" if no arm was
    compared.

    The shaded band reaches as far to either side of 0 as the interval of A/A, which differs from
    the plain graph in nothing, does from its middle; the dashed lines are the smallest difference
    of interest, a share of 1.
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
    for place, (_, verdict) in enumerate(arms):
        draw_interval(axes, verdict, len(arms) - 1 - place)
    width = 20 if is_narrow else 46
    axes.set_yticks(range(len(arms)), [label(line, width) for line, _ in reversed(arms)])
    axes.set_ylim(-0.6, len(arms) - 0.4)
    axes.set_xlabel("mAP50-95 less the plain graph's, points")
    return as_svg(figure, f"forest {is_narrow}")


def limits(verdict: ArmVerdict) -> tuple[float, float]:
    """The interval in points."""
    return 100 * verdict.low, 100 * verdict.high


def draw_interval(axes: Axes, verdict: ArmVerdict, height: float) -> None:
    """An arm's difference and its interval, if it has one."""
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
    axes.plot([100 * verdict.difference], [height], color=color, marker=marker, markersize=7,
              markeredgecolor=COLORS["paper"], zorder=3)  # fmt: skip


def label(line: Line, width: int) -> str:
    return cut_to_width(f"{line.number}  {' '.join(line.name.split())}", width)


def cost_benefit(lines: Sequence[Line], is_narrow: bool) -> str:
    """Difference in points against latency by the plain graph's, arms by their number; "" if no
    latency is known.

    Dominated arms are grey: another is as quick and scores as much, and is better in one of the
    two.
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
        "plain", (1, 0), xytext=(-7, -12), textcoords="offset points", ha="right", fontsize=8.5
    )
    for line, verdict, ratio in sorted(arms, key=lambda arm: not arm[0].is_dominated):
        draw_point(axes, line, verdict, ratio)
    axes.margins(0.12)
    axes.set_xlabel("latency, × the plain graph's")
    axes.set_ylabel("mAP50-95 less the plain graph's, points")
    return as_svg(figure, f"cost {is_narrow}")


def draw_point(axes: Axes, line: Line, verdict: ArmVerdict, x: float) -> None:
    """An arm as its number in a disc at latency x, with its interval."""
    color, y, faded = style_of(verdict)[0], 100 * verdict.difference, line.is_dominated
    low, high = limits(verdict)
    if math.isfinite(low + high):
        axes.plot(
            [x, x], [low, high], color=COLORS["grid"] if faded else color, linewidth=1.5, zorder=2
        )
    axes.plot([x], [y], marker="o", markersize=14, color=COLORS["grid"] if faded else color,
              markeredgecolor=COLORS["paper"], zorder=3 if faded else 5)  # fmt: skip
    axes.annotate(str(line.number), (x, y), ha="center", va="center", fontsize=8,
                  color=COLORS["muted"] if faded else COLORS["paper"], zorder=6)  # fmt: skip


def learning(curves: Mapping[str, np.ndarray], lines: Sequence[Line], is_narrow: bool) -> str:
    """A panel for each arm: its curve over the plain graph's (grey, dashed), means and lowest to
    highest seed.

    curves: arm -> [seeds, epochs] of mAP50-95 as shares. "" if there is none. The axis begins at
    SHOWN_FROM of the best value where most of the curves is above it, since the differences of
    interest are small and late.
    """
    from matplotlib.ticker import MaxNLocator

    plain = curves.get(PLAIN, np.zeros((0, 0)))
    arms = [line for line in lines if line.name != PLAIN and curves.get(line.name, plain[:0]).size]
    if not arms and not plain.size:
        return ""
    across = min(2 if is_narrow else 4, max(len(arms), 1))
    down = -(-max(len(arms), 1) // across)
    figure = new_figure(is_narrow, 0.6 + 1.75 * down)
    panels = list(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flat)
    for panel in panels:
        style(panel, "both")
        panel.axis("off")
    shown: list[Line | None] = [*arms] or [None]
    for panel, line in zip(panels, shown, strict=False):
        panel.axis("on")
        draw_curve(panel, plain, COLORS["muted"], "--")
        if line is not None:
            is_decided = line.verdict is not None and line.verdict.verdict in ("helps", "hurts")
            draw_curve(
                panel,
                curves[line.name],
                style_of(line.verdict)[0] if is_decided else COLORS["curve"],
            )
        text = label(line, 20) if line else PLAIN
        panel.set_title(text, fontsize=8.5, loc="left", color=COLORS["ink"])
        panel.tick_params(labelbottom=True)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    scores = np.concatenate([values.ravel() for values in curves.values()])
    best = float(scores.max())
    if best > 0:
        is_long = (
            float(np.median(scores)) > best * SHOWN_FROM
        )  # else most of the curves is their steep beginning
        panels[0].set_ylim(100 * best * SHOWN_FROM if is_long else 0, 100 * best * 1.02)
    figure.supxlabel("epoch", fontsize=8.5, color=COLORS["ink"])
    figure.supylabel("mAP50-95, %", fontsize=8.5, color=COLORS["ink"])
    return as_svg(figure, f"curves {is_narrow}")


def draw_curve(axes: Axes, values: np.ndarray, color: str, dash: str = "-") -> None:
    """Mean over seeds [seeds, epochs], and a band from the lowest to the highest."""
    if not values.size:
        return
    epochs = np.arange(1, values.shape[1] + 1)
    if len(values) > 1:
        axes.fill_between(
            epochs, 100 * values.min(0), 100 * values.max(0), color=color, alpha=0.22, linewidth=0
        )
    is_point = values.shape[1] == 1
    axes.plot(
        epochs,
        100 * values.mean(0),
        color=color,
        linewidth=1.6,
        linestyle=dash,
        marker="o" if is_point else "",
    )


def new_figure(is_narrow: bool, height: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    width = NARROW if is_narrow else WIDE
    return Figure(
        figsize=(width, height), dpi=72, layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.04)
    )


def new_axes(is_narrow: bool, height: float, grid: str = "x") -> tuple[Figure, Axes]:
    figure = new_figure(is_narrow, height)
    return figure, style(figure.add_subplot(), grid)


def style(axes: Axes, grid: Any) -> Axes:
    """No box, a light grid behind the data."""
    axes.tick_params(labelsize=8.5, colors=COLORS["ink"], length=0)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set(fontsize=8.5, color=COLORS["ink"])
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(True, axis=grid, color=COLORS["grid"], linewidth=0.7)
    axes.patch.set_visible(False)
    return axes


def as_svg(figure: Figure, salt: str) -> str:
    """The figure as an <svg> for a page: the same bytes each time, the page's colours, ids that
    occur once.
    """
    import matplotlib
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if text.get_color() == "black":
            text.set_color(COLORS["ink"])
    buffer = io.StringIO()
    with matplotlib.rc_context({**SETTINGS, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font"
        )  # they are only measured here
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return tidy(buffer.getvalue(), salt.replace(" ", "-").lower())


def tidy(svg: str, prefix: str) -> str:
    """matplotlib's file without what a page has already, or must not have: document head, metadata,
    fonts, ids.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r" *<metadata>.*?</metadata>\n", "", svg, flags=re.DOTALL)
    svg = re.sub(r' *<style type="text/css">[^<]*</style>\n', "", svg, count=1)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r'(<text style="[^"]*?)font-family: [^;"]*;? ?', r"\1", svg)
    svg = re.sub(r'(<[a-zA-Z]+ id=")', rf"\1{prefix}-", svg)
    svg = re.sub(r'(<[^<>]*(?:href="#|url\(#))', rf"\1{prefix}-", svg)
    svg = re.sub(r'<path (?:id="[^"]*" )?d="[^"]*"', lambda found: shorten_numbers(found[0]), svg)
    for name, color in COLORS.items():
        svg = re.sub(rf'(<[^<>]*style="[^"<>]*){color}', rf"\1var(--{name})", svg)
        svg = re.sub(rf'(<[^<>]*style="[^"<>]*){color}', rf"\1var(--{name})", svg)
    return svg.strip()


def shorten_numbers(path: str) -> str:
    """Two decimals are a hundredth of a pixel."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", path)
