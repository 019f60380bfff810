"""How many seeds a study and its baseline need for a given power, and when an arm is hopeless."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from ablation.statistics.dunnett import (
    POOLED_ARMS,
    Array,
    Contrasts,
    contrasts,
    critical_value,
    expected_power,
    normal_cdf,
)
from ablation.statistics.scores import Scores, check_scores, score_table

LEAST_SEEDS = 3  # fewer never give a verdict
POWER = 0.8  # that further_seeds aims at
MOST_SEEDS = 200  # at which further_seeds gives up
HOPELESS = 0.05  # futile() stops an arm whose chance of "helps" is smaller
# From this number of arms on, a second set of baseline seeds is cheaper than a seed for every arm.
MANY_BASELINES = 6


def further_seeds(found: Contrasts, row: int, delta: float, level: float = 0.95) -> int:
    """How many more paired seeds for all arms would show a true difference of delta with POWER.

    The power is averaged over the uncertainty of the noise, which a few runs estimate badly. The
    baseline is assumed to have no seeds beyond those of the arms.

    Args:
        found: contrasts of one study.
        row: index of the arm in them.
        delta: the true difference, in 0..1.
        level: level of confidence, 0..1.
    """
    have, family, df = int(found.pairs[row]), int(found.family), float(found.df)
    per_seed = delta / math.sqrt(float(found.variance[row]))

    def enough(seeds: int) -> bool:
        later = min(family, POOLED_ARMS) * (seeds - 1)
        effect = per_seed * math.sqrt(seeds)
        return expected_power(effect, critical_value(family, later, level), later, df) >= POWER

    # Bisection: low counts as too few, and high is enough unless it still is MOST_SEEDS.
    low, high = max(have, LEAST_SEEDS) - 1, MOST_SEEDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - have


def futile(
    scores: Scores, baseline: str, delta: float, planned_seeds: int, controls: Collection[str] = ()
) -> set[str]:
    """Arms with hardly a chance to end with "helps", by a rule that is fixed before the start.

    An arm is stopped if it has half of the planned seeds, and at least three, and its conditional
    power (Lan and Wittes, Biometrics 44, 1988) is below HOPELESS. The power is computed for a true
    difference of delta, or for the arm's difference so far if that is larger.

    Args:
        scores: scores of all arms.
        baseline: name of the baseline among them.
        delta: smallest difference of interest, in 0..1.
        planned_seeds: number of seeds planned for each arm.
        controls: names of arms that are never stopped.
    """
    check_scores(scores, baseline, delta, 0.95)
    arms = {arm: values for arm, values in scores.items() if arm not in (baseline, *controls)}
    if not arms:
        return set()
    power = conditional_power(contrasts(score_table(scores[baseline], arms)), delta, planned_seeds)
    return {arm for arm, chance in zip(arms, power, strict=True) if chance < HOPELESS}


def conditional_power(
    found: Contrasts, delta: float, planned_seeds: int, level: float = 0.95
) -> Array:
    """Chance of "helps" at the planned number of seeds, given the scores so far.

    Args:
        found: contrasts of one study or, with a leading axis, of many.
        delta: smallest difference of interest, in 0..1.
        planned_seeds: number of seeds planned for each arm.
        level: level of confidence of the verdicts then, 0..1.

    Returns:
        [..., arms] in 0..1; 1 where it is too early to decide, or no seeds are left.
    """
    chance = chance_to_help(found, np.maximum(delta, found.difference), planned_seeds, level)
    return np.where(found.pairs < max(LEAST_SEEDS, planned_seeds / 2), 1.0, chance)


def chance_to_help(found: Contrasts, truth: Array, planned_seeds: int, level: float) -> Array:
    """Chance of "helps" at the planned number of seeds if the true differences are `truth`.

    Args:
        found: contrasts of one study or, with a leading axis, of many.
        truth: assumed differences [..., arms].
        planned_seeds: number of seeds planned for each arm.
        level: level of confidence of the verdicts then, 0..1.

    Returns:
        [..., arms] in 0..1; 1 where no seeds are left or there is nothing to compute it from.
    """
    left = np.maximum(planned_seeds - found.pairs, 0)
    sizes, places = np.unique(found.family, return_inverse=True)
    dfs = np.clip(sizes, 1, POOLED_ARMS) * max(planned_seeds - 1, 1)
    limits = [
        critical_value(max(int(arms), 1), int(df), level)
        for arms, df in zip(sizes, dfs, strict=True)
    ]
    limit = np.array(limits)[places].reshape(found.family.shape)[..., None]
    with np.errstate(invalid="ignore", divide="ignore"):
        total = found.pairs * found.difference + left * truth
        scaled = (total / np.sqrt(found.variance) - limit * math.sqrt(planned_seeds)) / np.sqrt(
            left
        )
    unknown = (left == 0) | ~np.isfinite(scaled)
    return np.where(unknown, 1.0, normal_cdf(np.where(unknown, 0.0, scaled)))


def baseline_seeds(arms: int, seeds: int) -> int:
    """How many seeds the baseline should get if each of `arms` arms gets `seeds`."""
    return 2 * seeds if arms >= MANY_BASELINES else seeds
