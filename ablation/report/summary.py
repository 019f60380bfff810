"""A study's cells as the figures of its report: paired differences, learning curves, time to a
target, dominated arms.

From: CellResult and ArmVerdict, the scores as shares of 1. To: charts.py, html.py and write.py,
which only draw and write; nothing is decided here that ablation/statistics has decided already.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ablation.study import AA, PLAIN

if TYPE_CHECKING:
    from ablation.statistics.verdicts import ArmVerdict
    from ablation.study import CellResult, Costs, StudyResult

SCORE = "metrics/mAP_0.5:0.95"  # column of results.csv
SIZES = {"ap_small": "small", "ap_medium": "medium", "ap_large": "large"}
PARTS = ("loader", "forward", "backward", "optimizer")  # of an iteration, in timing.json
Cells = Mapping[int, "CellResult"]  # of one arm, by seed


@dataclass(frozen=True)
class Difference:
    """An arm less the plain graph: mean over n pairs of seeds, standard error (nan for one pair)."""

    mean: float
    error: float
    pairs: int

    @property
    def stands_out(self) -> bool:
        """Whether it is more than twice its standard error: worth a look, not a verdict."""
        return self.pairs >= 3 and abs(self.mean) > 2 * self.error


@dataclass(frozen=True)
class Reached:
    """How soon an arm's curve came to a score: seeds that did, of how many, medians of their epochs
    and seconds.
    """

    seeds: int
    of: int
    epochs: float | None
    seconds: float | None


@dataclass(frozen=True)
class Line:
    """An arm as a line of the report. score, score50: means over seeds. verdict: None for the plain
    graph, or if no cell could be compared."""

    number: int
    name: str
    seeds: int
    score: float
    score50: float
    verdict: ArmVerdict | None
    costs: Costs | None
    is_dominated: bool
    reached: Reached
    failed: int = 0  # cells


def is_control(name: str) -> bool:
    """Whether an arm is the plain graph under other seeds."""
    return name.split()[0] == AA


def by_arm(cells: Iterable[CellResult]) -> dict[str, dict[int, CellResult]]:
    """Finished cells by arm, then by seed."""
    found: dict[str, dict[int, CellResult]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        found.setdefault(cell.arm, {})[cell.seed] = cell
    return found


def pairs(own: Cells, plain: Cells) -> list[tuple[CellResult, CellResult]]:
    """Cells of an arm beside the plain graph's of the same block."""
    return [(own[seed], plain[seed]) for seed in sorted(set(own) & set(plain))]


def difference(values: Iterable[tuple[float | None, float | None]]) -> Difference | None:
    """Mean of first less second, pairs with an unknown value left out; None if there is none."""
    gaps = [a - b for a, b in values if a is not None and b is not None and math.isfinite(a - b)]
    if not gaps:
        return None
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    return Difference(statistics.fmean(gaps), error, len(gaps))


def by_size(own: Cells, plain: Cells) -> dict[str, Difference]:
    """AP difference for small, medium and large objects, as far as there are any."""
    found = {
        name: difference((a.metrics.get(key), b.metrics.get(key)) for a, b in pairs(own, plain))
        for key, name in SIZES.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def by_class(own: Cells, plain: Cells) -> dict[str, Difference]:
    """AP difference of each class that has labels, by name; of equal names the later ones with
    their number.
    """
    both = [(class_scores(a), class_scores(b)) for a, b in pairs(own, plain)]
    keys = dict.fromkeys(key for scores, _ in both for key in scores)
    seen: dict[str, Difference] = {}
    for number, name in keys:
        found = difference((a.get((number, name)), b.get((number, name))) for a, b in both)
        if found is not None:
            seen[f"{name} ({number})" if name in seen else name] = found
    return seen


def class_scores(cell: CellResult) -> dict[tuple[int, str], float]:
    return {
        (row["class_id"], str(row["name"])): row["ap"] for row in cell.metrics.get("classes") or ()
    }


def column(cell: CellResult, name: str) -> np.ndarray:
    """[epochs] of a column of results.csv; empty if it is not there."""
    return np.array([row[name] for row in cell.curve if name in row], dtype=float)


def curves(cells: Cells, name: str = SCORE) -> np.ndarray:
    """[seeds, epochs] of a column, as far as all seeds have come."""
    found = [values for cell in cells.values() if len(values := column(cell, name))]
    length = min(map(len, found), default=0)
    return np.stack([values[:length] for values in found]) if found else np.zeros((0, 0))


def seconds_of(cell: CellResult) -> float | None:
    """What training took, without validation: timing.json's seconds a image, for all epochs'
    images.

    timing.json is about the process that ended the run, which after an interruption did not see all
    epochs.
    """
    per_epoch = seconds_an_epoch(cell)
    return None if per_epoch is None else per_epoch * len(cell.curve)


def seconds_an_epoch(cell: CellResult) -> float | None:
    """Seconds of training in an epoch; None if nothing was timed, as when only the scoring was left
    to do.
    """
    timed, per_image = (
        cell.timing.get("images", 0),
        [cell.timing.get(part, 0.0) for part in PARTS],
    )
    images = cell.metrics.get("train_images") or timed / max(len(cell.curve), 1)
    return sum(per_image) * images if timed and images else None


def reach(cells: Cells, target: float) -> Reached:
    """How soon the curves of an arm's seeds came to the target."""
    epochs, seconds = [], []
    for cell in cells.values():
        above = np.flatnonzero(column(cell, SCORE) >= target)
        if len(above):
            epochs.append(int(above[0]) + 1)
            spent = seconds_an_epoch(cell)
            if spent is not None:
                seconds.append(spent * epochs[-1])
    middle = statistics.median(epochs) if epochs else None
    return Reached(len(epochs), len(cells), middle, statistics.median(seconds) if seconds else None)


def find_target(study: StudyResult) -> float:
    """The score that time is measured to: mean of the plain graph's last epochs; nan without any."""
    last = curves(by_arm(study.cells).get(PLAIN, {}))
    return float(last[:, -1].mean()) if last.size else math.nan


def find_dominated(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """Names to which another is preferable in one respect and not worse in the other. points:
    (cost, benefit).
    """
    return {
        name
        for name, (cost, benefit) in points.items()
        if any(c <= cost and b >= benefit and (c, b) != (cost, benefit) for c, b in points.values())
    }


def make_lines(study: StudyResult) -> list[Line]:
    """The study's arms: the plain graph, then the best difference first, arms without any last."""
    cells, target = by_arm(study.cells), find_target(study)
    verdicts = {verdict.arm: verdict for verdict in study.verdicts}
    ratios = {
        name: costs.latency_ratio
        for name, costs in study.costs.items()
        if costs.latency_ratio is not None
    }
    points = {name: (ratios[name], verdict.difference) for name, verdict in verdicts.items()
              if name in ratios and math.isfinite(verdict.difference) and not is_control(name)}  # fmt: skip
    dominated = find_dominated({PLAIN: (1.0, 0.0), **points}) - {PLAIN}

    def place(name: str) -> tuple[int, float]:
        if name == PLAIN:
            return 0, 0.0
        found = verdicts.get(name)
        return (1, -found.difference) if found and math.isfinite(found.difference) else (2, 0.0)

    failures = [name.rpartition(" seed ")[0] for name in study.failed]
    names = sorted((arm.name for arm in study.arms), key=place)
    return [
        Line(
            number,
            name,
            len(own := cells.get(name, {})),
            mean_of(own, "map"),
            mean_of(own, "map50"),
            verdicts.get(name),
            study.costs.get(name),
            name in dominated,
            reach(own, target),
            failures.count(name),
        )
        for number, name in enumerate(names)
    ]


def mean_of(cells: Cells, key: str) -> float:
    """Mean of a score of metrics.json over seeds; nan without any."""
    values: list[Any] = [cell.metrics.get(key) for cell in cells.values()]
    known = [float(value) for value in values if value is not None]
    return statistics.fmean(known) if known else math.nan


def compared(lines: Sequence[Line]) -> list[tuple[Line, ArmVerdict]]:
    """Those that have a difference from the plain graph, with what is known of it."""
    return [(line, line.verdict) for line in lines
            if line.verdict is not None and math.isfinite(line.verdict.difference)]  # fmt: skip
