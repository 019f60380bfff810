"""The tables of a comparison: scores, classes, sizes of objects, costs.

Scores are in 0..1 in the runs and in percent here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from engine.compare.costs import MeasuredCosts, NetworkCosts
from engine.compare.groups import RunGroup, Spread, spread
from engine.compare.runs import share_of
from engine.evaluation.error_kinds import KINDS

Cell = str | float | int | None | Spread
SCORE_NAMES = {"map": "mAP50-95", "map50": "mAP50", "precision": "precision", "recall": "recall"}
SIZE_NAMES = {"ap_small": "small", "ap_medium": "medium", "ap_large": "large"}


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        stem: The name of its files, without the suffix.
        title: What it shows, with units.
        columns: Header of each column -> the form of its numbers, "" for text.
        rows: The cells of each row.
    """

    stem: str
    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Cell]]


def make_tables(groups: Sequence[RunGroup], costs: MeasuredCosts) -> list[PaperTable]:
    """All tables that have a row."""
    scored = [group for group in groups if group.scored]
    tables = [
        score_table(scored),
        class_table(scored, "ap", "classes", "AP50-95"),
        class_table(scored, "ap50", "classes_ap50", "AP50"),
        size_table(scored),
        error_table(scored),
        cost_table(groups, costs),
    ]
    return [table for table in tables if table.rows]


def percent(found: Spread) -> Spread:
    """A score in percent."""
    return Spread(100 * found.mean, 100 * found.deviation, found.count)


def score_table(groups: Sequence[RunGroup]) -> PaperTable:
    """A row for each group: its seeds, and each score with its standard deviation."""
    rows: list[list[Cell]] = [
        [group.label, len(group.scored), *(percent(group.score(name)) for name in SCORE_NAMES)]
        for group in groups
    ]
    columns = {"model": "", "seeds": "d", **dict.fromkeys(SCORE_NAMES.values(), ".1f")}
    title = "Scores in percent: mean over the seeds ± standard deviation"
    return PaperTable("scores", title, columns, rows)


def size_table(groups: Sequence[RunGroup]) -> PaperTable:
    """A row for each group: AP50-95 by the size of objects, where it was measured."""
    rows: list[list[Cell]] = [
        [group.label, len(group.scored), *(percent(group.score(name)) for name in SIZE_NAMES)]
        for group in groups
        if any(group.score(name).count for name in SIZE_NAMES)
    ]
    columns = {"model": "", "seeds": "d", **dict.fromkeys(SIZE_NAMES.values(), ".1f")}
    title = (
        "AP50-95 in percent by size of object (COCO's protocol, limits 32² and 96² pixels of the"
        " image): mean over the seeds ± standard deviation"
    )
    return PaperTable("sizes", title, columns, rows)


def error_table(groups: Sequence[RunGroup]) -> PaperTable:
    """A row for each group: what each kind of error costs, where it was measured."""
    rows: list[list[Cell]] = []
    for group in groups:
        found = group.error_costs()
        if any(cost.count for cost in found):
            rows.append([group.label, len(group.scored), *map(percent, found)])
    columns = {"model": "", "seeds": "d", **dict.fromkeys(KINDS, ".1f")}
    title = (
        "Points of mAP50 that each kind of error costs by itself (TIDE, Bolya et al. 2020): mean"
        " over the seeds ± standard deviation"
    )
    return PaperTable("errors", title, columns, rows)


def class_table(groups: Sequence[RunGroup], key: str, stem: str, words: str) -> PaperTable:
    """A row for each class that has labels, a column for each group.

    Args:
        groups: Groups that have scores.
        key: The score's key in the rows of metrics.json.
        stem: The name of the table's files.
        words: The score's name.
    """
    found = [[class_scores(run.class_rows(), key) for run in group.scored] for group in groups]
    counts: dict[str, int | None] = {}
    for group in groups:
        for run in group.scored:
            for row in run.class_rows():
                number = row.get("instances")
                counts.setdefault(str(row.get("name")), number if type(number) is int else None)
    rows = [
        [name, count, *(percent(spread(run.get(name, math.nan) for run in runs)) for runs in found)]
        for name, count in counts.items()
    ]
    columns = {"class": "", "objects": "d", **{group.label: ".1f" for group in groups}}
    title = f"{words} of each class in percent: mean over the seeds ± standard deviation"
    return PaperTable(stem, title, columns, rows)


def class_scores(rows: Sequence[Mapping[str, object]], key: str) -> dict[str, float]:
    """A score of each class by its name, in 0..1."""
    return {str(row.get("name")): share_of(row.get(key)) for row in rows}


def cost_table(groups: Sequence[RunGroup], costs: MeasuredCosts) -> PaperTable:
    """A row for each network that could be read; the times only if they were measured."""
    columns: dict[str, tuple[str, Callable[[NetworkCosts], Cell]]] = {
        "parameters, M": (".2f", lambda own: own.parameters / 1e6),
        "GFLOPs": (".2f", lambda own: own.gflops),
        "ms": (".2f", lambda own: own.milliseconds),
        "FPS": (".1f", lambda own: own.images_per_second),
    }
    known = [group.label for group in groups if group.label in costs.by_label]
    if all(costs.by_label[label].milliseconds is None for label in known):
        columns = {name: columns[name] for name in ("parameters, M", "GFLOPs")}
    rows = [
        [label, *(value(costs.by_label[label]) for _, value in columns.values())] for label in known
    ]
    forms = {"model": "", **{name: form for name, (form, _) in columns.items()}}
    return PaperTable("costs", f"Costs; {costs.conditions}", forms, rows)
