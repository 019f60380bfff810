"""Simulated ablation studies: scores under several kinds of noise, with lost or stopped runs.

The noise of a run has standard deviation 1 in arms of ordinary noise, and effects are in that unit.
A share of the variance is common to all arms, since it comes from the seed. Tables of scores are
[draws, 1 + arms, seeds], the baseline first.
"""

from __future__ import annotations

import math

import numpy as np

from ablation.statistics.dunnett import Array, contrasts
from ablation.statistics.planning import HOPELESS, conditional_power
from bench.ablation_methods import guarded

NOISES = (
    "normal", "t(4)", "graded", "graded t(4)", "one arm", "baseline", "uneven", "alike", "few",
)  # fmt: skip
UNEVEN_DF = 4  # of the chi-square that uneven variances come from; 4.9 fits those of bccd_paper
OWN, OTHER = 0.3, 1.5  # standard deviations of the noise of arms that are alike, and of the others
# Of studies with a few noisy arms: one arm in so many is noisy, and the standard deviations of what
# a noisy arm and the others have beside the baseline's noise. Those of docs/ablation.md, "How noisy
# a score is", are 1.8 and 0.2 to 0.3.
ONE_IN, FAR, NEAR = 20, 1.8, 0.25
EFFECT = 2.5  # 0.5 mAP where the noise is 0.2


def simulate(
    kind: str, shape: tuple[int, int, int], rng: np.random.Generator, seed_share: float = 0.3
) -> Array:
    """Scores of arms without any effect.

    In "uneven" studies each arm has another variance. In "alike" ones half of the arms have nearly
    the noise of the baseline's run under the same seed, as modules that change little. In "few"
    ones all but a few arms have it.

    Args:
        kind: kind of noise, one of NOISES.
        shape: (draws, 1 + arms, seeds).
        rng: source of the noise.
        seed_share: share of a run's variance that comes from its seed.

    Returns:
        [draws, 1 + arms, seeds].
    """
    draws, rows, seeds = shape
    heavy = kind.endswith("t(4)")
    noise = rng.standard_t(4, shape) / math.sqrt(2) if heavy else rng.standard_normal(shape)
    scale = np.geomspace(1, 3, rows) if kind.startswith("graded") else np.ones(rows)
    if kind == "one arm":
        scale[-1] = 3
    if kind == "baseline":
        scale[0] = 3
    if kind == "uneven":
        chosen = UNEVEN_DF / rng.chisquare(UNEVEN_DF, (draws, rows - 1, 1))
        noise[:, 1:] *= np.sqrt(chosen)
    if kind == "alike":
        half = 1 + rows // 2
        noise[:, 1:half] = noise[:, :1] + OWN * noise[:, 1:half]
        noise[:, half:] *= OTHER
    if kind == "few":
        noise[:, 1:] *= NEAR
        noise[:, -max(1, (rows - 1) // ONE_IN) :] *= FAR / NEAR
        noise[:, 1:] += noise[:, :1]
    common = math.sqrt(seed_share / (1 - seed_share)) * rng.standard_normal((draws, 1, seeds))
    return noise * scale[:, None] + common


def false_shares(signs: Array) -> tuple[float, float]:
    """Percentage of studies with any "helps", and with any "hurts", by signs [draws, arms]."""
    return 100 * float((signs > 0).any(-1).mean()), 100 * float((signs < 0).any(-1).mean())


def with_effect(scores: Array, effect: float) -> Array:
    """The same scores with an effect added to the last arm."""
    changed = scores.copy()
    changed[:, -1] += effect
    return changed


def lose_runs(scores: Array, rng: np.random.Generator) -> Array:
    """The same scores with one run in ten missing."""
    return np.where(rng.random(scores.shape) < 0.1, np.nan, scores)


def stop_early(scores: Array, delta: float = EFFECT) -> Array:
    """The same scores without the runs of arms that the futility rule stops.

    The rule is applied after every seed from the third on, for the planned effect delta.
    """
    scores, planned = scores.copy(), scores.shape[-1]
    for seen in range(3, planned):
        so_far = scores.copy()
        so_far[..., seen:] = np.nan
        stopped = conditional_power(contrasts(so_far), delta, planned) < HOPELESS
        stopped |= np.isnan(scores[:, 1:, seen - 1])  # A stopped arm stays stopped.
        scores[:, 1:, seen:] = np.where(stopped[..., None], np.nan, scores[:, 1:, seen:])
    return scores


def more_baseline(scores: Array, extra: int) -> Array:
    """The same scores without the arms' last seeds, which only the baseline keeps."""
    scores = scores.copy()
    scores[:, 1:, scores.shape[-1] - extra :] = np.nan
    return scores


def two_looks(scores: Array, first: int) -> Array:
    """Signs of arms judged after the first seeds and, where undecided, again with all seeds."""
    early = guarded(scores[..., :first])
    return np.where(early != 0, early, guarded(scores))
