"""The figures of a report, computed from the study's cells.

These are paired differences, learning curves, the time to a target score, and dominated arms. The
other modules of the report only draw and write them. Verdicts come from ablation/statistics. Scores
are in 0..1.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ablation.study import AA, PLAIN

if TYPE_CHECKING:
    from ablation.results import CellResult, Costs, StudyResult
    from ablation.statistics.verdicts import ArmVerdict

SCORE = "metrics/mAP_0.5:0.95"  # column of results.csv
SIZES = {"ap_small": "small", "ap_medium": "medium", "ap_large": "large"}
TIMED_PARTS = ("loader", "forward", "backward", "optimizer")  # keys of timing.json
Cells = Mapping[int, "CellResult"]  # the cells of one arm, by seed


@dataclass(frozen=True)
class Difference:
    """Arm minus baseline: mean over pairs of seeds, and its standard error (nan for one pair)."""

    mean: float
    error: float
    pairs: int

    @property
    def stands_out(self) -> bool:
        """Whether it exceeds twice its standard error, which is worth a look but not a verdict."""
        return self.pairs >= 3 and abs(self.mean) > 2 * self.error


@dataclass(frozen=True)
class Reached:
    """How soon an arm's curves reached a target score.

    Attributes:
        seeds: number of seeds whose curve reached it.
        of: number of all seeds that have a curve.
        epochs: epochs until then, median of the seeds that reached it; None if there are none.
        seconds: the same in seconds of training.
    """

    seeds: int
    of: int
    epochs: float | None
    seconds: float | None


@dataclass(frozen=True)
class Line:
    """An arm as a line of the report.

    Attributes:
        number: the arm's number in the charts.
        name: name of the arm.
        seeds: number of finished cells.
        score: mAP50-95, mean over seeds; nan without seeds.
        score50: mAP50, likewise.
        verdict: the verdict; None for the baseline, and if no cell could be compared.
        costs: the costs; None if they are not known.
        is_dominated: whether another arm is at least as fast and as good, and better in one of the
            two.
        reached: how soon its curves reached the baseline's final score.
        failed: number of cells that failed.
        looks_left: seeds of the planned looks at which the arm will be judged again.
        is_hopeless: whether it was stopped, or dropped at a look, and gets no more runs.
    """

    number: int
    name: str
    seeds: int
    score: float
    score50: float
    verdict: ArmVerdict | None
    costs: Costs | None
    is_dominated: bool
    reached: Reached
    failed: int = 0
    looks_left: tuple[int, ...] = ()
    is_hopeless: bool = False


def is_control(name: str) -> bool:
    """Whether an arm is the baseline under other seeds."""
    return name.split()[0] == AA


def by_arm(cells: Iterable[CellResult]) -> dict[str, dict[int, CellResult]]:
    """Finished cells by arm, then by seed."""
    found: dict[str, dict[int, CellResult]] = {}
    for cell in sorted(cells, key=lambda cell: cell.seed):
        found.setdefault(cell.arm, {})[cell.seed] = cell
    return found


def pairs(own: Cells, plain: Cells) -> list[tuple[CellResult, CellResult]]:
    """Each cell of an arm with the baseline's cell of the same seed."""
    return [(own[seed], plain[seed]) for seed in sorted(set(own) & set(plain))]


def mean_difference(values: Iterable[tuple[float | None, float | None]]) -> Difference | None:
    """Mean of first minus second over pairs of known values; None if there are none."""
    gaps = [a - b for a, b in values if a is not None and b is not None and math.isfinite(a - b)]
    if not gaps:
        return None
    error = statistics.stdev(gaps) / math.sqrt(len(gaps)) if len(gaps) > 1 else math.nan
    return Difference(statistics.fmean(gaps), error, len(gaps))


def by_size(own: Cells, plain: Cells) -> dict[str, Difference]:
    """AP difference for small, medium and large objects, where a split has such objects."""
    found = {
        name: mean_difference((a.metric(key), b.metric(key)) for a, b in pairs(own, plain))
        for key, name in SIZES.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def by_class(own: Cells, plain: Cells) -> dict[str, Difference]:
    """AP difference of each class with labels, by name.

    Classes may share a name. All but the first of them then get their number too.
    """
    both = [(a.class_scores(), b.class_scores()) for a, b in pairs(own, plain)]
    keys = dict.fromkeys(key for scores, _ in both for key in scores)
    seen: dict[str, Difference] = {}
    for number, name in keys:
        found = mean_difference((a.get((number, name)), b.get((number, name))) for a, b in both)
        if found is not None:
            seen[f"{name} ({number})" if name in seen else name] = found
    return seen


def column(cell: CellResult, name: str) -> np.ndarray:
    """A column of results.csv [epochs], empty if there is no such column.

    It is NaN in epochs without a validation, and empty if fewer than two epochs have one.
    """
    values = np.array([row[name] for row in cell.curve if name in row], dtype=float)
    gaps = np.isnan(values)
    return values[:0] if gaps.any() and (~gaps).sum() < 2 else values


def curves(cells: Cells, name: str = SCORE) -> np.ndarray:
    """A column of all cells [seeds, epochs], cut to the shortest of them."""
    # Seeds may have different numbers of epochs, as early stopping ends runs at different times.
    found = [values for cell in cells.values() if len(values := column(cell, name))]
    length = min(map(len, found), default=0)
    return np.stack([values[:length] for values in found]) if found else np.zeros((0, 0))


def seconds_of(cell: CellResult) -> float | None:
    """Seconds of training without validation, or None if nothing was timed."""
    # After an interruption timing.json covers the last process only, so its seconds per image stand
    # for all epochs.
    per_epoch = seconds_an_epoch(cell)
    return None if per_epoch is None else per_epoch * len(cell.curve)


def seconds_an_epoch(cell: CellResult) -> float | None:
    """Seconds of training in an epoch, or None if nothing was timed.

    Nothing is timed if an interrupted run had only the final scores left to compute.
    """
    timed = cell.timing.get("images", 0)
    per_image = [cell.timing.get(part, 0.0) for part in TIMED_PARTS]
    images = cell.metric("train_images") or timed / max(len(cell.curve), 1)
    return sum(per_image) * images if timed and images else None


def reach(cells: Cells, target: float) -> Reached:
    """How soon the curves of an arm's seeds reached the target, a score in 0..1."""
    epochs, seconds = [], []
    known = [(cell, values) for cell in cells.values() if len(values := column(cell, SCORE))]
    for cell, values in known:
        above = np.flatnonzero(values >= target)
        if len(above):
            epochs.append(int(above[0]) + 1)
            spent = seconds_an_epoch(cell)
            if spent is not None:
                seconds.append(spent * epochs[-1])
    middle = statistics.median(epochs) if epochs else None
    return Reached(len(epochs), len(known), middle, statistics.median(seconds) if seconds else None)


def find_target(study: StudyResult) -> float:
    """The target score for `reach`: mean over the baseline's seeds at the last epoch that all have.

    It is nan without a finished baseline.
    """
    last = curves(by_arm(study.cells).get(PLAIN, {}))
    return float(last[:, -1].mean()) if last.size else math.nan


def find_dominated(points: Mapping[str, tuple[float, float]]) -> set[str]:
    """Names of the dominated points (cost, benefit).

    Another point is better in one respect, and not worse in the other.
    """
    return {
        name
        for name, (cost, benefit) in points.items()
        if any(c <= cost and b >= benefit and (c, b) != (cost, benefit) for c, b in points.values())
    }


def make_lines(study: StudyResult) -> list[Line]:
    """The lines of a report: the baseline, arms by descending difference, arms without one."""
    cells, target = by_arm(study.cells), find_target(study)
    verdicts = {verdict.arm: verdict for verdict in study.verdicts}
    dominated = _dominated_arms(study, verdicts)

    def place(name: str) -> tuple[int, float]:
        if name == PLAIN:
            return 0, 0.0
        found = verdicts.get(name)
        return (1, -found.difference) if found and math.isfinite(found.difference) else (2, 0.0)

    # The name of a failed cell is that of its arm and " seed N".
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
            _looks_left(study, name),
            name in study.stopped or name in (study.looks.ended(False) if study.looks else ()),
        )
        for number, name in enumerate(names)
    ]


def _looks_left(study: StudyResult, name: str) -> tuple[int, ...]:
    """Seeds of the looks at which an arm that is neither decided nor dropped is judged again."""
    looks = study.looks
    if looks is None or name not in looks.arms or looks.last.ended[looks.arms.index(name)] >= 0:
        return ()
    return looks.left


def _dominated_arms(study: StudyResult, verdicts: Mapping[str, ArmVerdict]) -> set[str]:
    """The dominated arms. The baseline may dominate an arm, but a lucky control may not."""
    points = {PLAIN: (1.0, 0.0)}
    for name, verdict in verdicts.items():
        ratio = study.costs[name].latency_ratio if name in study.costs else None
        if ratio is not None and math.isfinite(verdict.difference) and not is_control(name):
            points[name] = (ratio, verdict.difference)
    return find_dominated(points) - {PLAIN}


def mean_of(cells: Cells, key: str) -> float:
    """Mean of a score of metrics.json over seeds; nan if no seed has it."""
    known = [value for cell in cells.values() if (value := cell.metric(key)) is not None]
    return statistics.fmean(known) if known else math.nan


def compared(lines: Sequence[Line]) -> list[tuple[Line, ArmVerdict]]:
    """The lines that have a difference from the baseline, with their verdicts."""
    return [
        (line, line.verdict)
        for line in lines
        if line.verdict is not None and math.isfinite(line.verdict.difference)
    ]
