"""Published gains of attention in detectors beside ours: a picture, and a comparison of orders."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.evidence.languages import ENGLISH, Language
from bench.evidence.picture import COLORS, LABELS
from bench.evidence.studies import DELTA, FOLDER, Study
from bench.evidence.words import label, signed
from bench.markdown_table import markdown_rows
from engine.drawing.figures import GREY, INK, make_figure, save_figure, style_axes
from utils.seeds import stream

FILE = "published.csv"
FEWEST = 4  # modules whose order can be compared
EXACT, SAMPLES = 8, 20_000
MARKERS = "DsPX*"  # one for each network that gains were published for
LINEAR = 2.0  # points up to which the axis is linear


@dataclass(frozen=True)
class Published:
    """A gain that somebody published.

    Attributes:
        module: our name of the attention.
        gain: points of mAP50-95.
        data: the data set.
        network: the detector.
        source: where it was read.
    """

    module: str
    gain: float
    data: str
    network: str
    source: str

    @property
    def setting(self) -> str:
        return f"{self.network}, {self.data}"


def read_published(folder: Path = FOLDER) -> list[Published]:
    """The gains in published.csv."""
    with open(folder / FILE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Published(row["module"], float(row["gain"]), row["data"], row["network"], row["source"])
        for row in rows
        if row["metric"] == "mAP50-95"
    ]


def order_of(published: Sequence[Published]) -> list[str]:
    """The modules, by their largest published gain, the largest first."""
    largest: dict[str, float] = {}
    for one in published:
        largest[one.module] = max(one.gain, largest.get(one.module, one.gain))
    return sorted(largest, key=lambda name: (-largest[name], name))


def draw_literature(published: Sequence[Published], studies: Sequence[Study], path: Path) -> Path:
    """Draw published gains and ours in one panel for each data set of ours.

    Args:
        published: the published gains.
        studies: our main studies.
        path: the picture to write.

    Returns:
        path.
    """
    names = order_of(published)
    sets = list(dict.fromkeys(study.data for study in studies))
    figure = make_figure(max(6.6 * len(sets), 9.0), 1.6 + 0.55 * len(names), dpi=120)
    panels = figure.subplots(1, len(sets), sharey=True, squeeze=False)[0]
    settings = list(dict.fromkeys(one.setting for one in published))
    for axes, data in zip(panels, sets, strict=True):
        style_axes(axes, f"ours: {data}", f"points of mAP50-95, logarithmic beyond ±{LINEAR:g}")
        axes.set_xscale("symlog", linthresh=LINEAR)
        axes.axvspan(-DELTA, DELTA, color=GREY, alpha=0.18, linewidth=0)
        axes.axvline(0, color=INK, linewidth=0.8)
        for number, setting in enumerate(settings):
            shown = [one for one in published if one.setting == setting]
            axes.plot(
                [one.gain for one in shown], [names.index(one.module) - 0.25 for one in shown],
                marker=MARKERS[number % len(MARKERS)], linewidth=0, color=INK, markersize=6,
                markerfacecolor="white", label=f"published: {setting}",
            )  # fmt: skip
        for study in (study for study in studies if study.data == data):
            height = 0.05 if study.start == "paper" else 0.28
            rows = [(study.modules[name], names.index(name) + height) for name in names
                    if name in study.modules]  # fmt: skip
            for row, y in rows:
                axes.plot([row.low, row.high], [y, y], color=COLORS[study.start], linewidth=1.5)
            axes.plot(
                [row.difference for row, _ in rows], [y for _, y in rows], marker="o", linewidth=0,
                color=COLORS[study.start], markersize=5, label=f"ours, {LABELS[study.start]}",
            )  # fmt: skip
        ticks = [-20, -10, -5, -2, -1, 0, 1, 2, 5, 10]
        axes.set_xticks(ticks, [signed(tick, 0) if tick else "0" for tick in ticks])
        axes.minorticks_off()
    panels[0].set_yticks(range(len(names)), names, fontsize=9)
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return save_figure(figure, path)


def agreement(
    published: Sequence[Published], studies: Sequence[Study], language: Language = ENGLISH
) -> str:
    """A table: rank correlation of each published list with each of our studies."""
    rows = []
    for setting in dict.fromkeys(one.setting for one in published):
        gains = {one.module: one.gain for one in published if one.setting == setting}
        for study in studies:
            names = [name for name in gains if name in study.modules]
            if len(names) < FEWEST:
                continue
            ours = [study.modules[name].difference for name in names]
            if len({gains[name] for name in names}) < 2 or len(set(ours)) < 2:
                continue
            rho, p = rank_correlation([gains[name] for name in names], ours)
            rows.append([setting, label(study, language), str(len(names)), signed(rho), f"{p:.2f}"])
    return markdown_rows(language.heads["order"], rows)


def between(studies: Sequence[Study], language: Language = ENGLISH) -> str:
    """A table: rank correlation of the differences of each two of our studies."""
    rows = []
    for first, second in itertools.combinations(studies, 2):
        names = [name for name in first.modules if name in second.modules]
        if len(names) >= FEWEST:
            ours = [[one.modules[name].difference for name in names] for one in (first, second)]
            rho, p = rank_correlation(*ours)
            shown = f"{p:.3f}" if p >= 0.001 else "< 0.001"
            labels = [label(one, language) for one in (first, second)]
            rows.append([*labels, str(len(names)), signed(rho), shown])
    return markdown_rows(language.heads["between"], rows)


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Spearman's rank correlation, and its one-sided p: how often chance agrees as well.

    All orders of up to EXACT values are tried, and SAMPLES random ones of more.
    """
    a, b = (ranks(values) for values in (first, second))
    a, b = ((one - one.mean()) / np.linalg.norm(one - one.mean()) for one in (a, b))
    if len(b) <= EXACT:
        orders = np.array(list(itertools.permutations(b)))
    else:
        orders = stream("rank correlation").permuted(np.tile(b, (SAMPLES, 1)), axis=1)
    found = float(a @ b)
    return found, float((orders @ a >= found - 1e-9).mean())


def ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    found = np.asarray(values, dtype=float)
    return np.array([(found < one).sum() + ((found == one).sum() - 1) / 2 for one in found])
