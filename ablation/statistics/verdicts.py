"""Does an arm help? Many arms against one baseline on the same seeds, with one error for the study.

The model is a randomised block design: a run's score is its arm's mean, plus what its seed does to
every arm, plus noise. Paired differences remove the seed. Their error is pooled over the arms, as
in Dunnett's test, because a few seeds alone estimate it badly. But the pooled error misleads where
one arm, or the baseline, is noisier than the others: a useless arm then "helps" in up to 18 % of
studies. So the error is raised there ("guarded"), and a false "helps" stays below 5 % of studies;
only where a few arms are far noisier than the others and have three seeds, it is up to 6 %.

docs/ablation.md has the simulations by which this was chosen (bench/ablation_calibration.py).
Scores and differences are in 0..1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ablation.statistics.dunnett import Array, Contrasts, adjusted_p, contrasts, critical_value
from ablation.statistics.exact import holm, sign_flip
from ablation.statistics.planning import LEAST_SEEDS, MOST_SEEDS, POWER, further_seeds
from ablation.statistics.scores import Scores, check_scores, score_table
from utils.text import counted

NO_NOISE = 1e-9  # a standard deviation below this is rounding


@dataclass(frozen=True)
class ArmVerdict:
    """An arm against the baseline. Figures are NaN where there is nothing to compute them from.

    Attributes:
        arm: its name.
        seeds: number of paired seeds.
        difference: arm minus baseline.
        low: lower end of the simultaneous interval of the whole family.
        high: its upper end.
        p: p-value, adjusted for all arms (Dunnett).
        p_sign_flip: exact two-sided p-value, adjusted for all arms (Holm).
        verdict: "helps", "hurts" or "no evidence".
        further_seeds: how many more paired seeds would show delta with power 0.8; 0 if decided, and
            for controls.
        note: further facts, separated by "; ".
    """

    arm: str
    seeds: int
    difference: float
    low: float
    high: float
    p: float
    p_sign_flip: float
    verdict: str
    further_seeds: int
    note: str


@dataclass(frozen=True)
class _Family:
    """Arms that are judged together.

    Attributes:
        table: [1 + arms, seeds] scores, the baseline first.
        found: contrasts of the table.
        delta: smallest difference of interest.
        level: level of confidence.
        later_level: level of confidence at which further seeds will be judged.
        is_control: whether the arms are A/A arms.
    """

    table: Array
    found: Contrasts
    delta: float
    level: float
    later_level: float
    is_control: bool


def compare_arms(
    scores: Scores,
    baseline: str,
    delta: float = 0.005,
    level: float = 0.95,
    controls: Collection[str] = (),
    later_level: float = 0.0,
) -> list[ArmVerdict]:
    """A verdict for every arm but the baseline, in the order of the scores.

    The arms are a family: where they are equally noisy, the share of studies with any false verdict
    is at most 1 - level, and in the simulations of unequal ones at most twice that.

    Args:
        scores: scores of all arms.
        baseline: name of the baseline among them.
        delta: smallest difference of interest.
        level: level of confidence, 0.5..1.
        controls: names of the A/A arms. They are a family of their own, since nobody claims
            anything about them. Having other seeds, they are paired with the baseline in the order
            of the seeds.
        later_level: level of confidence at which further seeds will be judged; 0 for `level`.

    Raises:
        UserError: a score is not finite, the baseline is not an arm, or delta or level is
            impossible.
    """
    check_scores(scores, baseline, delta, level)
    found: dict[str, ArmVerdict] = {}
    for is_control in (False, True):
        arms = [arm for arm in scores if arm != baseline and (arm in controls) == is_control]
        if arms:
            seeds = sorted(scores[baseline])
            own = {
                arm: _in_order(scores[arm], seeds) if is_control else scores[arm] for arm in arms
            }
            table = score_table(scores[baseline], own)
            family = _Family(
                table, contrasts(table, level), delta, level, later_level or level, is_control
            )
            found |= {verdict.arm: verdict for verdict in _judge_all(family, arms)}
    return [found[arm] for arm in scores if arm != baseline]


def _in_order(values: Mapping[int, float], seeds: Sequence[int]) -> dict[int, float]:
    """A control's scores under the baseline's seeds, in the order of its own seeds."""
    # strict=False: a control may have fewer finished runs than the baseline.
    return dict(zip(seeds, (values[seed] for seed in sorted(values)), strict=False))


def _judge_all(family: _Family, arms: Sequence[str]) -> list[ArmVerdict]:
    """The verdicts of a family, whose sign-flip tests are adjusted together."""
    gaps = family.table[1:] - family.table[0]
    flips = holm([sign_flip(row[~np.isnan(row)]) for row in gaps])
    return [_judge(family, row, arm, flips[row]) for row, arm in enumerate(arms)]


def _judge(family: _Family, row: int, arm: str, p_sign_flip: float) -> ArmVerdict:
    """The verdict of one arm, which is `row` of the family."""
    seeds, difference = int(family.found.pairs[row]), float(family.found.difference[row])
    low, high, p = _interval(family, row)
    verdict = "no evidence"
    if seeds >= LEAST_SEEDS and (low > 0 or high < 0):
        verdict = "helps" if low > 0 else "hurts"
    further = 0
    if verdict == "no evidence" and not family.is_control:
        further = _seeds_to_go(family, row, high)
    note = "; ".join(_notes(family, row, high, verdict, further))
    return ArmVerdict(arm, seeds, difference, low, high, p, p_sign_flip, verdict, further, note)


def _is_constant(family: _Family, row: int) -> bool:
    """Whether the paired differences do not vary, so that there is no noise to judge by."""
    return bool(family.found.pairs[row] > 1 and family.found.variance[row] <= NO_NOISE**2)


def _interval(family: _Family, row: int) -> tuple[float, float, float]:
    """Ends of the simultaneous interval, and the adjusted p-value; NaN if there are none."""
    found = family.found
    if found.pairs[row] < 2 or _is_constant(family, row):
        return math.nan, math.nan, math.nan
    arms, df = int(found.family), float(found.df)
    difference, error = float(found.difference[row]), float(found.error[row])
    half = critical_value(arms, df, family.level) * error
    return difference - half, difference + half, adjusted_p(difference / error, arms, df)


def _seeds_to_go(family: _Family, row: int, high: float) -> int:
    """Further seeds for an arm without evidence; 0 if a gain of delta is already ruled out."""
    seeds = int(family.found.pairs[row])
    if math.isnan(high):
        return max(0, LEAST_SEEDS - seeds)
    if high < family.delta and seeds >= LEAST_SEEDS:
        return 0
    return further_seeds(family.found, row, family.delta, family.later_level)


def _notes(family: _Family, row: int, high: float, verdict: str, further: int) -> list[str]:
    """Further facts on the arm that is `row` of the family."""
    seeds, notes = int(family.found.pairs[row]), []
    if family.is_control:
        notes.append("a control: its seeds are not the baseline's")
    if seeds < LEAST_SEEDS:
        notes.append(f"{counted(seeds, 'paired seed')}, and no verdict on fewer than {LEAST_SEEDS}")
    if _is_constant(family, row):
        notes.append(
            "the differences are the same for every seed, so there is no noise to judge by"
        )
    elif seeds > 1 and verdict == "no evidence" and not family.is_control:
        notes += _about_delta(high, seeds + further, further, family.delta)
    notes += _about_correction(family.table[[0, 1 + row]], float(family.found.difference[row]))
    if seeds >= LEAST_SEEDS:
        notes += _about_flips(seeds, int(family.found.family), family.level)
    return notes


def _about_delta(high: float, seeds: int, further: int, delta: float) -> list[str]:
    """A note if no further seeds are suggested, or if MOST_SEEDS would not be enough.

    Args:
        high: upper end of the interval.
        seeds: paired seeds with the further ones.
        further: how many further seeds are suggested.
        delta: smallest difference of interest.
    """
    if seeds >= MOST_SEEDS and further:
        return [f"fewer than {MOST_SEEDS} seeds would not show {100 * delta:g} mAP"]
    if further:
        return []
    if high < delta:
        return [f"a gain of {100 * delta:g} mAP is ruled out"]
    return [f"a gain of {100 * delta:g} mAP would have shown with power {POWER:g}"]


def _about_correction(pair: Array, difference: float) -> list[str]:
    """A note with the difference on the paired seeds alone, if other baseline runs corrected it.

    pair [2, seeds] has the scores of the baseline and the arm.
    """
    gaps = (pair[1] - pair[0])[~np.isnan(pair).any(0)]
    others = int((~np.isnan(pair[0])).sum()) - len(gaps)
    if not others or not len(gaps) or abs(difference - gaps.mean()) < NO_NOISE:
        return []
    alone = f"{100 * gaps.mean():+.2f}".replace("-", "−")
    return [
        f"{alone} mAP on the paired seeds, corrected by the baseline's "
        f"{counted(others, 'other seed')}"
    ]


def _about_flips(seeds: int, arms: int, level: float) -> list[str]:
    """A note if the sign-flip test cannot reach the level with so few seeds.

    Its least p-value is 2 of 2^seeds patterns, times the number of arms.
    """
    # 1e-12 is for rounding: a p-value equal to 1 - level is small enough.
    if arms * 2.0 ** (1 - seeds) <= 1 - level + 1e-12:
        return []
    needed = next(n for n in range(seeds, 99) if arms * 2.0 ** (1 - n) <= 1 - level + 1e-12)
    return [f"the sign-flip test cannot decide with {seeds} seeds, from {needed} on it can"]
