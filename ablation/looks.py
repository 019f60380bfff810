"""A study that is judged after planned numbers of seeds: its runs, its looks and its verdicts.

A look is a function of the finished runs and of the plan. So a study that was interrupted repeats
its former looks when it continues, and comes to the same verdicts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from ablation.config import StudyConfig
from ablation.results import is_due, read_scores
from ablation.statistics.dunnett import Array
from ablation.statistics.scores import Scores
from ablation.statistics.sequential import Course, Looks, Plan, begin, make_plan, take_look
from ablation.statistics.verdicts import ArmVerdict, compare_arms
from ablation.study import PLAIN, Arm, Cell
from utils.text import counted

WORDS = {1: "helps", -1: "hurts"}
Run = Callable[[Sequence[Cell]], None]
Say = Callable[[str], None]


def plan_of(config: StudyConfig, arms: Sequence[Arm]) -> Plan:
    """The plan of a study with --looks."""
    return make_plan(
        config.looks, sum(bool(arm.attention) for arm in arms), config.futility, config.adaptive
    )


def run_looks(
    config: StudyConfig, arms: Sequence[Arm], cells: Sequence[Cell], run: Run, say: Say
) -> Looks:
    """Run what each look up to --seeds needs and take it, until all arms are decided or dropped.

    Args:
        config: the flags.
        arms: the baseline first.
        cells: the cells that may be needed.
        run: runs the cells that are due.
        say: prints a line.
    """
    plan, names = plan_of(config, arms), [arm.name for arm in arms if arm.attention]
    course = begin(plan, len(names))
    courses: list[Course] = []
    tried: set[Path] = (
        set()
    )  # A run that failed is tried again by the next start, not by a later look.
    for look, seeds in enumerate(plan.looks):
        if seeds > config.seeds or not (course.ended < 0).any():
            break
        wanted = _cells_of(config, names, cells, course, seeds)
        due = [cell for cell in wanted if is_due(cell) and cell.folder not in tried]
        tried |= {cell.folder for cell in due}
        if due:
            run(due)
        scores = read_scores(wanted)
        courses.append(course)
        table = _table(config, names, scores)
        course = take_look(table, plan, course, look, config.margin)
        say(_news(Looks(plan, names, courses, course), courses[-1], course))
    return Looks(plan, names, courses, course)


def _cells_of(
    config: StudyConfig, names: Sequence[str], cells: Sequence[Cell], course: Course, seeds: int
) -> list[Cell]:
    """The cells that belong to a look.

    Args:
        config: the flags.
        names: names of the arms in the course.
        cells: all cells.
        course: the course until the look.
        seeds: seeds planned for the look, which A/A arms get.
    """
    counts = {PLAIN: int(course.baseline), **dict(zip(names, course.seeds.tolist(), strict=True))}
    return [
        cell for cell in cells if cell.seed - config.first_seed < counts.get(cell.arm.name, seeds)
    ]


def _table(config: StudyConfig, names: Sequence[str], scores: Scores) -> Array:
    """The scores [1 + arms, seeds] by the number of the seed, NaN where a run failed."""
    rows = [scores.get(name, {}) for name in (PLAIN, *names)]
    numbers = range(1 + max((seed for row in rows for seed in row), default=config.first_seed))
    wanted = numbers[config.first_seed :]
    return np.array([[row.get(seed, np.nan) for seed in wanted] for row in rows])


def _news(looks: Looks, before: Course, after: Course) -> str:
    """What a look has found, as a line."""
    fresh = {
        name: WORDS.get(int(sign), "is dropped, because it has hardly a chance left")
        for name, was, now, sign in zip(
            looks.arms, before.ended, after.ended, after.signs, strict=True
        )
        if was < 0 <= now
    }
    found = "; ".join(f"{name} {word}" for name, word in fresh.items()) or "nothing new is decided"
    goes_on = int((after.ended < 0).sum())
    return (
        f"look {len(looks.courses)} of {len(looks.plan.looks)}, after"
        f" {counted(looks.seeds, 'seed')}: {found}; {counted(goes_on, 'arm')} undecided"
    )


def judge_looks(
    config: StudyConfig, cells: Sequence[Cell], looks: Looks, controls: Collection[str]
) -> list[ArmVerdict]:
    """The verdicts: an arm's is that of the look at which it ended, or of the last one taken.

    The A/A arms are judged at the last look taken.

    Args:
        config: the flags.
        cells: the cells that may have been run.
        looks: the looks taken.
        controls: names of the A/A arms.
    """
    newest = len(looks.courses) - 1
    place = {name: int(look) for name, look in zip(looks.arms, looks.last.ended, strict=True)}
    place = {name: look if look >= 0 else newest for name, look in place.items()}
    found: dict[str, ArmVerdict] = {}
    for look in sorted({*place.values(), newest}):
        seeds = looks.plan.looks[look]
        wanted = _cells_of(config, looks.arms, cells, looks.courses[look], seeds)
        scores = read_scores(wanted)
        if PLAIN not in scores:
            return []
        level, later = looks.plan.level(look), looks.plan.level(-1)
        verdicts = compare_arms(scores, PLAIN, config.margin, level, controls, later)
        share = looks.plan.shares[look]
        found |= {
            verdict.arm: _at_look(looks, verdict, seeds, share)
            for verdict in verdicts
            if place.get(verdict.arm, newest) == look
        }
    order = [PLAIN, *dict.fromkeys(cell.arm.name for cell in cells)]
    return [found[name] for name in order if name in found]


def _at_look(looks: Looks, verdict: ArmVerdict, seeds: int, share: float) -> ArmVerdict:
    """A verdict with p-values for all looks, and with a note on the look.

    Args:
        looks: the looks taken.
        verdict: the verdict of a single look.
        seeds: seeds planned for this look.
        share: the look's share of the error.
    """
    notes = [verdict.note] if verdict.note else []
    for is_decided, word in ((True, "decided"), (False, "dropped as hopeless")):
        if verdict.arm in looks.ended(is_decided):
            notes.append(f"{word} at the look after {counted(seeds, 'seed')}")
    return dataclasses.replace(
        verdict,
        # Division makes p comparable with the whole error: it is below 0.05 where the interval of
        # this look excludes 0.
        p=min(1.0, verdict.p / share) if verdict.p == verdict.p else verdict.p,
        p_sign_flip=min(1.0, verdict.p_sign_flip / share),
        note="; ".join(notes),
    )


def spending_of(config: StudyConfig) -> Mapping[str, object]:
    """What study.yaml holds of the boundaries: the share of the error of each look."""
    if not config.looks:
        return {}
    return {"error_shares": [round(share, 6) for share in make_plan(config.looks, 1).shares]}
