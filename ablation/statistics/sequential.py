"""Looking at a study several times, and going on, with one error for all looks together.

The error of a study is divided among its looks before the start, by the spending function of
O'Brien-Fleming type of K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical
trials", Biometrika 70 (1983). A look judges by the guarded Dunnett intervals at its own share of
the error. The shares add up to the whole, so nothing has to be assumed about how the looks depend
on each other. Arms that are decided, or dropped as hopeless, get no further runs. An adaptive study
gives these runs to the arms that are close to a verdict.

docs/ablation.md has the simulations by which this was chosen (bench/ablation_looks.py).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ablation.statistics.dunnett import Array, Contrasts, contrasts, critical_values
from ablation.statistics.planning import (
    HOPELESS,
    LEAST_SEEDS,
    baseline_seeds,
    chance_to_help,
    conditional_power,
)

ALPHA = 0.05  # the error of a study
# No look before the last gets less than this share of the error. Less would decide nothing, and the
# quadrature of Dunnett's distribution is inexact there.
LEAST_SHARE = 0.01
CLOSE = 0.2  # an adaptive study gives runs to arms whose chance of "helps" is at least this
MOST_TIMES = 2  # an arm of an adaptive study gets at most so many times the seeds of a look
NO_VARIANCE = 1e-18  # a variance below this is rounding
Spending = Callable[[float], float]


def obrien_fleming(part: float) -> float:
    """The share of the error that is spent when a part (0..1) of the seeds is there."""
    half = torch.tensor(ALPHA / 2, dtype=torch.float64)
    limit = torch.special.ndtri(half) / math.sqrt(part)
    return 2 * float(torch.special.ndtr(limit)) / ALPHA


def error_shares(looks: Sequence[int], spending: Spending = obrien_fleming) -> tuple[float, ...]:
    """The share of the error that each look gets; they add up to 1.

    Args:
        looks: seeds of each arm at each look, increasing.
        spending: share of the error that is spent by a part (0..1) of the seeds.
    """
    spent = [0.0, *(spending(seeds / looks[-1]) for seeds in looks[:-1])]
    shares = [max(float(step), LEAST_SHARE) for step in np.diff(spent)]
    return *shares, 1 - sum(shares)


@dataclass(frozen=True)
class Plan:
    """What is fixed before the start.

    Attributes:
        looks: seeds of each arm at each look, increasing.
        shares: share of the error of each look.
        baselines: seeds of the baseline for each seed of an arm.
        drops: whether hopeless arms are dropped at the looks.
        is_adaptive: whether arms that are close to a verdict get the runs of the others.
    """

    looks: tuple[int, ...]
    shares: tuple[float, ...]
    baselines: int = 1
    drops: bool = False
    is_adaptive: bool = False

    def level(self, look: int) -> float:
        """Level of confidence of a look, 0, 1 … or -1 for the last."""
        return 1 - ALPHA * self.shares[look]


def make_plan(
    looks: Sequence[int], arms: int, drops: bool = False, is_adaptive: bool = False
) -> Plan:
    """The plan of a study.

    Args:
        looks: seeds of each arm at each look, increasing.
        arms: number of arms without the baseline and the A/A arms.
        drops: whether hopeless arms are dropped at the looks.
        is_adaptive: whether their runs go to other arms; such a study drops arms too.
    """
    baselines = baseline_seeds(arms, 1)
    return Plan(tuple(looks), error_shares(looks), baselines, drops or is_adaptive, is_adaptive)


@dataclass(frozen=True)
class Course:
    """How far a study or, with a leading axis, many of them have come.

    Attributes:
        seeds: [..., arms], seeds of each arm until the next look.
        baseline: [...], seeds of the baseline until the next look.
        signs: [..., arms], 1 for "helps", -1 for "hurts", 0 for neither so far.
        ended: [..., arms], look (0, 1 …) at which an arm was decided or dropped, -1 if it goes on.
    """

    seeds: Array
    baseline: Array
    signs: Array
    ended: Array


@dataclass(frozen=True)
class Looks:
    """The looks that a study has taken.

    Attributes:
        plan: what was fixed before the start.
        arms: names of the arms without the baseline and the A/A arms.
        courses: how many seeds each look had, one for each look taken.
        last: what the last look taken found.
    """

    plan: Plan
    arms: Sequence[str]
    courses: Sequence[Course]
    last: Course

    @property
    def seeds(self) -> int:
        """Seeds planned for the last look taken."""
        return self.plan.looks[len(self.courses) - 1]

    @property
    def left(self) -> tuple[int, ...]:
        """The seeds of the looks that can still be taken."""
        return self.plan.looks[len(self.courses) :] if (self.last.ended < 0).any() else ()

    @property
    def spent(self) -> float:
        """The share of the study's error that the looks taken have spent."""
        return sum(self.plan.shares[: len(self.courses)])

    def ended(self, is_decided: bool) -> dict[str, int]:
        """The look's seeds of each arm that was decided (helps or hurts), or dropped."""
        return {
            arm: self.plan.looks[look]
            for arm, look, sign in zip(self.arms, self.last.ended, self.last.signs, strict=True)
            if look >= 0 and bool(sign) == is_decided
        }

    def given(self) -> dict[str, int]:
        """Runs beyond the plan that each arm got from others."""
        had = dict(zip(self.arms, self.courses[-1].seeds.tolist(), strict=True))
        ended = zip(self.arms, self.last.ended, strict=True)
        planned = {arm: self.plan.looks[look] if look >= 0 else self.seeds for arm, look in ended}
        return {arm: had[arm] - planned[arm] for arm in self.arms if had[arm] > planned[arm]}

    def runs(self) -> tuple[int, int]:
        """Runs of the arms and the baseline so far, and those planned.

        Planned are those of the last look of all if none is left, and else of the last one taken.
        """
        seeds = self.seeds if self.left else self.plan.looks[-1]
        used = int(self.courses[-1].seeds.sum() + self.courses[-1].baseline)
        return used, (len(self.arms) + self.plan.baselines) * seeds


def begin(plan: Plan, arms: int, studies: tuple[int, ...] = ()) -> Course:
    """The course before the first look.

    Args:
        plan: the plan.
        arms: number of arms without the baseline.
        studies: () for one study, or (number,) for many.
    """
    shape, first = (*studies, arms), plan.looks[0]
    return Course(
        np.full(shape, first),
        np.full(studies, plan.baselines * first),
        np.zeros(shape, dtype=int),
        np.full(shape, -1),
    )


def until_look(scores: Array, course: Course) -> Array:
    """The scores [..., 1 + arms, seeds] that belong to the course; NaN stands for the others."""
    counts = np.concatenate([course.baseline[..., None], course.seeds], -1)
    return np.where(np.arange(scores.shape[-1]) < counts[..., None], scores, np.nan)


def take_look(scores: Array, plan: Plan, course: Course, look: int, delta: float) -> Course:
    """Judge the arms that are still open, and choose what the next look needs.

    Args:
        scores: [..., 1 + arms, seeds], the baseline first; later runs than those of the course are
            not looked at, and NaN stands for a failed run.
        plan: the plan.
        course: the course until this look.
        look: 0, 1 …
        delta: smallest difference of interest, in the unit of the scores.
    """
    level, seen = plan.level(look), until_look(scores, course)
    found = contrasts(seen, level)
    limit = critical_values(found.family, found.df, level)
    with np.errstate(invalid="ignore"):
        sure = np.abs(found.difference) > limit * found.error
        sure &= (course.ended < 0) & (found.pairs >= LEAST_SEEDS) & (found.variance > NO_VARIANCE)
    signs = np.where(sure, np.sign(np.nan_to_num(found.difference)), course.signs).astype(int)
    course = dataclasses.replace(course, signs=signs, ended=np.where(sure, look, course.ended))
    if look == len(plan.looks) - 1:
        return course
    found = contrasts(seen, plan.level(-1))
    if plan.drops:
        chance = conditional_power(found, delta, plan.looks[-1], plan.level(-1))
        hopeless = (course.ended < 0) & (chance < HOPELESS)
        course = dataclasses.replace(course, ended=np.where(hopeless, look, course.ended))
    return _prepare(plan, course, look, found)


def _prepare(plan: Plan, course: Course, look: int, found: Contrasts) -> Course:
    """The course with the seeds of the next look, after the contrasts found at this one."""
    now, then = plan.looks[look : look + 2]
    is_open = course.ended < 0
    seeds = course.seeds + np.where(is_open, then - now, 0)
    baseline = _baseline(plan, course, seeds, then)
    if plan.is_adaptive:
        trend = chance_to_help(found, found.difference, plan.looks[-1], plan.level(-1))
        close = is_open & (trend >= CLOSE)
        # The runs that the plan has until the next look, those of decided and dropped arms too.
        planned = (is_open.shape[-1] + plan.baselines) * then
        plain, most = seeds, np.maximum(seeds, MOST_TIMES * then)
        for extra in range(1, MOST_TIMES * then):
            more = np.minimum(plain + np.where(close, extra, 0), most)
            needed = _baseline(plan, course, more, then)
            fits = more.sum(-1) + needed <= planned
            seeds = np.where(fits[..., None], more, seeds)
            baseline = np.where(fits, needed, baseline)
    return dataclasses.replace(course, seeds=seeds, baseline=baseline)


def _baseline(plan: Plan, course: Course, seeds: Array, then: int) -> Array:
    """Seeds [...] that the baseline needs beside those of the arms [..., arms].

    Args:
        plan: the plan.
        course: the course until now, which says which arms are open.
        seeds: seeds of the arms at the next look.
        then: seeds planned for the next look.
    """
    is_open = course.ended < 0
    paired = np.where(is_open, seeds, 0).max(-1)
    needed = np.maximum(np.maximum(plan.baselines * then, paired), course.baseline)
    return np.where(is_open.any(-1), needed, course.baseline)
