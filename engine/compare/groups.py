"""Runs that differ in seed only are one line of a figure and one row of a table.

Two trainings are such if every flag and hyperparameter is the same but the seed and what cannot
change a result: names of folders, and how the work is done.
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from engine.compare.runs import ComparedRun
from engine.evaluation.error_kinds import KINDS
from utils.errors import UserError
from utils.text import shown

# Flags of this project, YOLOv5 and Ultralytics. hyp is compared by its content, in hyp.yaml.
NOT_COMPARED = {
    "seed", "name", "project", "save_dir", "exist_ok", "resume", "device", "workers", "noplots",
    "plots", "nosave", "save", "save_period", "verbose", "cache", "hyp", "local_rank",
    "bbox_interval", "entity", "upload_dataset", "artifact_alias", "show_boxes", "show_conf",
    "show_labels", "line_width",
}  # fmt: skip
SCORED_BY = ("data", "split", "imgsz", "protocol", "images", "instances")  # in metrics.json


@dataclass(frozen=True)
class Spread:
    """The mean of n values and their standard deviation (of a sample); NaN for fewer than two."""

    mean: float
    deviation: float
    count: int


def spread(values: Iterable[float]) -> Spread:
    """Mean and standard deviation of the finite ones of these values; NaN where there are none."""
    known = [value for value in values if math.isfinite(value)]
    mean = statistics.fmean(known) if known else math.nan
    deviation = statistics.stdev(known) if len(known) > 1 else math.nan
    return Spread(mean, deviation, len(known))


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in seed only, under one name."""

    label: str
    runs: tuple[ComparedRun, ...]

    @property
    def scored(self) -> tuple[ComparedRun, ...]:
        """The runs that this project has scored."""
        return tuple(run for run in self.runs if run.metrics)

    def score(self, name: str) -> Spread:
        """A score of metrics.json over the runs."""
        return self.over_runs(lambda run: run.metric(name))

    def error_costs(self) -> list[Spread]:
        """What each kind of error costs in mAP50 over the runs, in the order of KINDS."""
        return [self.over_runs(partial(ComparedRun.error_cost, kind=kind)) for kind in KINDS]

    def over_runs(self, value: Callable[[ComparedRun], float]) -> Spread:
        """A value over the runs that this project has scored."""
        return spread(map(value, self.scored))

    def sentence(self) -> str:
        """Which runs these are, and how they were recognised."""
        names = ", ".join(run.name for run in self.runs)
        if len(self.runs) == 1:
            seed = self.runs[0].seed
            return f"{self.label}: {names}" + ("" if seed is None else f", seed {seed}")
        seeds = ", ".join(str(run.seed) for run in self.runs)
        return (
            f"{self.label}: {names} are one, since all their settings are the same but seeds"
            f" {seeds}"
        )


def group_runs(
    runs: Sequence[ComparedRun], labels: Sequence[str] = (), each: bool = False
) -> list[RunGroup]:
    """Put runs that differ in seed only together, in the order in which they first occur.

    Args:
        runs: The runs.
        labels: A name for each group; () takes the names of folders.
        each: Whether every run is a group by itself.

    Returns:
        The groups, whose names differ.

    Raises:
        UserError: The number of labels is not that of the groups, or two are equal.
    """
    members: dict[object, list[ComparedRun]] = {}
    for number, run in enumerate(runs):
        key = number if each or not run.settings or run.seed is None else _key(run)
        # The same seed twice would count as two although nothing differs.
        seeds = [known.seed for known in members.get(key, ())]
        members.setdefault((key, number) if run.seed in seeds else key, []).append(run)
    groups = list(members.values())
    if labels and len(labels) != len(groups):
        found = "; ".join(" + ".join(run.name for run in group) for group in groups)
        raise UserError(
            f"--labels: {len(labels)} names for {len(groups)} groups; give one for each: {found}"
        )
    names = labels or _names(groups)
    if len(set(names)) < len(names):
        raise UserError(f"--labels: {shown(list(names))}: two are equal; give names that differ")
    return [RunGroup(name, tuple(group)) for name, group in zip(names, groups, strict=True)]


def _key(run: ComparedRun) -> str:
    """Everything that must be the same in two runs that differ in seed only, as text."""
    settings = {key: value for key, value in run.settings.items() if key not in NOT_COMPARED}
    scored = [run.metrics.get(name) for name in SCORED_BY]
    return repr((run.program, sorted(settings.items()), scored))


def _names(groups: Sequence[Sequence[ComparedRun]]) -> list[str]:
    """What the names of a group's folders have in common, or more of them where that is equal."""
    first = [group[0] for group in groups]
    names = [_common_name([run.name for run in group]) for group in groups]
    if len(set(names)) == len(names):
        return names
    longer = [f"{run.folder.resolve().parent.name}/{run.name}" for run in first]
    if len(set(longer)) == len(longer):
        return longer
    return [f"{name} ({number})" for number, name in enumerate(names, 1)]


def _common_name(names: Sequence[str]) -> str:
    """What several names begin with, without the start of a number: "cbam" of cbam_10, cbam_11."""
    common = os.path.commonprefix(list(names))  # noqa: RUF071 (characters are wanted here)
    if common in names:
        return common
    return (
        common.rstrip("0123456789").rstrip("_- .").removesuffix("seed").rstrip("_- .") or names[0]
    )


def comparability(groups: Sequence[RunGroup]) -> list[str]:
    """Sentences on what makes the scores of these groups no fair comparison."""
    notes = []
    runs = [run for group in groups for run in group.runs]
    for name, words in (
        ("protocol", "mAP follows different rules, so scores must not be compared"),
        ("images", "the numbers of validation images differ"),
        ("instances", "the numbers of labelled objects differ"),
    ):
        values = {repr(run.metrics[name]) for run in runs if name in run.metrics}
        if len(values) > 1:
            notes.append(f"{words} ({', '.join(sorted(values))})")
    by_other = [run for run in runs if run.program in ("YOLOv5", "Ultralytics")]
    for run in by_other:
        notes.append(f"{run.name}: is of {run.program}; only its learning curve is shown")
    for run in runs:
        if not run.metrics and run not in by_other:
            notes.append(f"{run.name}: has not ended, so that it has no final scores")
        if run.metrics and run.curves is None:
            notes.append(
                f"{run.name}: has no curves.npz, so that it is missing in the PR curves; validate"
                " its weights with val.py and compare those folders"
            )
    single = [group.label for group in groups if len(group.scored) == 1]
    if single:
        notes.append(
            f"one seed only: {', '.join(single)}; a difference may be chance, so train several"
        )
    return notes
