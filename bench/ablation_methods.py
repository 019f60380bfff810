"""The statistical tests that bench/ablation_calibration.py compares, for many studies at once.

Each takes scores [draws, 1 + arms, seeds] without missing runs, the baseline first. It returns
signs [draws, arms]: 1 for "helps", -1 for "hurts", 0 for "no evidence". The level of confidence is
95 % for a study, both directions together.
"""

from __future__ import annotations

import numpy as np
import torch

from ablation.statistics.dunnett import (
    Array,
    contrasts,
    critical_value,
    critical_values,
    scale_nodes,
)
from ablation.statistics.moderation import margins

ALPHA = 0.05


def parts(scores: Array) -> tuple[Array, Array, Array]:
    """Mean paired differences, their own variances, and the pooled variance of the additive fit.

    Shapes: [draws, arms], [draws, arms], [draws, 1].
    """
    gaps = scores[:, 1:] - scores[:, :1]
    arms, seeds = gaps.shape[1:]
    centred = gaps - gaps.mean(-1, keepdims=True)
    squares = (centred**2).sum((1, 2)) - (centred.sum(1) ** 2).sum(-1) / (arms + 1)
    return gaps.mean(-1), gaps.var(-1, ddof=1), 2 * squares[:, None] / (arms * (seeds - 1))


def decide(mean: Array, variance: Array, seeds: int, limit: float | Array) -> Array:
    """Signs of the differences whose t exceeds a limit.

    Args:
        mean: paired difference [draws, arms].
        variance: variance of one paired difference, [draws, arms] or [draws, 1].
        seeds: number of pairs.
        limit: critical value of t, a number or [draws, 1].
    """
    return np.sign(mean) * (np.abs(mean) > limit * np.sqrt(variance / seeds))


def pooled(scores: Array) -> Array:
    """Dunnett's test with the error of the two-way additive fit."""
    mean, _, variance = parts(scores)
    arms, seeds = mean.shape[1], scores.shape[-1]
    return decide(mean, variance, seeds, critical_value(arms, arms * (seeds - 1)))


def guarded(scores: Array) -> Array:
    """The method of ablation.statistics.verdicts.compare_arms.

    It also takes missing runs and extra seeds of the baseline.
    """
    found = contrasts(scores)
    limits = critical_values(found.family, found.df)
    sure = (found.pairs >= 3) & (np.abs(found.difference) > limits * found.error)
    return np.where(sure, np.sign(found.difference), 0)


def step_down(p: Array) -> Array:
    """Whether Holm's procedure rejects each of the p-values: booleans [draws, arms]."""
    order = np.argsort(p, -1)
    steps = np.arange(p.shape[1], 0, -1)
    kept = np.cumprod(np.take_along_axis(p, order, -1) * steps <= ALPHA + 1e-12, -1).astype(bool)
    rejected = np.zeros_like(kept)
    np.put_along_axis(rejected, order, kept, -1)
    return rejected


def t_tail(t: Array, df: int) -> Array:
    """Two-sided p-value of Student's t, interpolated between the logarithms of 4,000 values."""
    u, weights = scale_nodes(df)
    grid = np.geomspace(1e-3, max(1.0, float(t.max())) * 1.01, 4000)
    tail = 2 * torch.special.ndtr(torch.from_numpy(-grid[:, None] * u)).numpy() @ weights
    return np.exp(np.interp(t, grid, np.log(np.maximum(tail, 1e-300))))


def paired_t(scores: Array) -> Array:
    """A paired t-test for each arm with its own error, and Holm's adjustment."""
    mean, own, _ = parts(scores)
    seeds = scores.shape[-1]
    return np.sign(mean) * step_down(t_tail(np.abs(mean) / np.sqrt(own / seeds), seeds - 1))


def empirical_bayes(scores: Array) -> Array:
    """Each arm by what its variance may be, given those of all arms; alone by its own t."""
    mean, own, _ = parts(scores)
    arms, seeds = mean.shape[1], scores.shape[-1]
    if arms == 1:
        return paired_t(scores)
    share = np.full(len(scores), 1 - (1 - ALPHA) ** (1 / arms))
    limits = margins(own, np.full(own.shape, seeds - 1), share)
    return decide(mean, np.ones_like(own), seeds, limits)


def sign_flips(scores: Array) -> Array:
    """The exact sign-flip test with Holm's adjustment."""
    gaps = scores[:, 1:] - scores[:, :1]
    sums = np.zeros((*gaps.shape[:2], 1))
    for seed in range(gaps.shape[-1]):
        step = gaps[..., seed : seed + 1]
        sums = np.concatenate([sums + step, sums - step], -1)
    total = np.abs(gaps.sum(-1, keepdims=True))
    # Rounding must not separate sums that are equal.
    p = (np.abs(sums) >= total - 1e-9).mean(-1)
    return np.sign(gaps.mean(-1)) * step_down(p)


METHODS = {
    "Dunnett, pooled": pooled,
    "guarded Dunnett": guarded,
    "empirical Bayes": empirical_bayes,
    "paired t, Holm": paired_t,
    "sign-flip, Holm": sign_flips,
}
