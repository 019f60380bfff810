"""Many arms against one baseline: contrasts, errors, the distribution of the largest |t|, power.

C. W. Dunnett, "A multiple comparison procedure for comparing several treatments with a control",
JASA 50 (1955). The contrasts of k arms share the baseline, so any two of them have correlation 1/2,
and the probability that all stay below a limit is an integral over k dimensions. But for a given
baseline z and estimated scale u the contrasts are independent, and the inner integral is the k-th
power of one normal probability. That leaves two dimensions, z and u, in which quadrature with a few
nodes is exact enough.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

from ablation.statistics.moderation import Array, margins, variance_quantile

NODES = 64  # for z and for u; they give seven digits of a critical value
# An arm's own variance counts by df / (df + PRIOR_DF) against that of all arms.
PRIOR_DF = 4
# More arms than these add nothing to the degrees of freedom, because their noise may differ.
POOLED_ARMS = 8


def normal_cdf(x: Array) -> Array:
    """Standard normal distribution function, of any shape."""
    return torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))).numpy()


@functools.cache
def _baseline_nodes() -> tuple[Array, Array]:
    """Gauss-Hermite nodes and weights of a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()


@functools.lru_cache(maxsize=4096)
def scale_nodes(df: float) -> tuple[Array, Array]:
    """Nodes and weights of sqrt(chi2(df) / df).

    That is the distribution of an estimated standard deviation whose true value is 1.
    """
    # Its density is smooth but has no standard quadrature, so Legendre nodes cover the range that
    # has all of its weight: the standard deviation is about 1 / sqrt(2 df).
    spread = 1 / math.sqrt(2 * df)
    low, high = max(0.0, 1 - 7 * spread), 1 + 8 * spread
    x, weights = np.polynomial.legendre.leggauss(NODES)
    u = low + (high - low) * (x + 1) / 2
    # The density under- or overflows for large df, so its logarithm is shifted before exp().
    log_density = (df - 1) * np.log(u) - df * u * u / 2
    weights = weights * np.exp(log_density - log_density.max())
    return u, weights / weights.sum()


@functools.lru_cache(maxsize=4096)
def adjusted_p(t: float, arms: int, df: float) -> float:
    """Dunnett's two-sided p-value.

    Args:
        t: observed statistic of an arm.
        arms: number of arms that are compared with the baseline.
        df: degrees of freedom of the error.

    Returns:
        Probability that the largest |t| among arms without any difference is at least |t|.
    """
    z, z_weights = _baseline_nodes()
    u, u_weights = scale_nodes(df)
    # t is (arm - baseline) / sqrt(2) / u, so |t| is reached where the arm differs from z by limit.
    shared, limit = z[:, None], math.sqrt(2) * abs(t) * u
    inside = normal_cdf(limit + shared) - normal_cdf(shared - limit)
    return float(1 - z_weights @ inside**arms @ u_weights)


@functools.lru_cache(maxsize=4096)
def critical_value(arms: int, df: float, level: float = 0.95) -> float:
    """The |t| that the largest of arms without any difference reaches with probability 1 - level.

    Args:
        arms: number of arms that are compared with the baseline.
        df: degrees of freedom of the error.
        level: level of confidence, 0..1.
    """
    low, high = 0.0, 2.0
    while adjusted_p(high, arms, df) > 1 - level:
        low, high = high, 2 * high
    while high - low > 1e-7 * high:
        middle = (low + high) / 2
        if adjusted_p(middle, arms, df) > 1 - level:
            low = middle
        else:
            high = middle
    return high


def critical_values(family: Array, df: Array, level: float = 0.95) -> Array:
    """Critical values [..., 1] of |t| for numbers of arms [...] and degrees of freedom [...].

    They are infinite where there is nothing to judge by.
    """
    keys = np.stack([family, df], -1).reshape(-1, 2)
    known, places = np.unique(keys, axis=0, return_inverse=True)
    values = [
        critical_value(int(arms), float(one), level) if arms and one > 0 else math.inf
        for arms, one in known
    ]
    return np.array(values)[places.reshape(-1)].reshape(family.shape)[..., None]


def expected_power(effect: float, limit: float, df: float, known_df: float) -> float:
    """Probability that t exceeds a limit.

    The standard error that divides the effect is itself an estimate. The power is averaged over its
    uncertainty, because an error that was small by chance would promise too much.

    Args:
        effect: true difference divided by its estimated standard error.
        limit: critical value.
        df: degrees of freedom of the error in t.
        known_df: degrees of freedom of the standard error in `effect`.
    """
    truth, truth_weights = scale_nodes(known_df)
    u, weights = scale_nodes(df)
    return float(truth_weights @ normal_cdf(effect * truth[:, None] - limit * u) @ weights)


@dataclass(frozen=True)
class Contrasts:
    """Arms against the baseline in one study or, with a leading axis, in many.

    Attributes:
        pairs: [..., arms], number of paired seeds.
        difference: [..., arms], arm minus baseline.
        variance: [..., arms], variance of one paired difference, guarded for the level.
        error: [..., arms], standard error of the difference.
        family: [...], number of arms with at least two pairs.
        df: [...], degrees of freedom of the error.
    """

    pairs: Array
    difference: Array
    variance: Array
    error: Array
    family: Array
    df: Array


def contrasts(scores: Array, level: float = 0.95) -> Contrasts:
    """Contrasts of scores [..., 1 + arms, seeds], the baseline first, for a level of confidence.

    A missing run is NaN, and so is a contrast that cannot be computed. If the baseline has seeds
    that an arm lacks, they show how lucky the baseline was in the common seeds. The difference is
    corrected by the part of that luck that the seeds do not explain.
    """
    present = ~np.isnan(scores)
    paired = present[..., 1:, :] & present[..., :1, :]
    pairs = paired.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = np.where(paired, scores[..., 1:, :] - scores[..., :1, :], 0.0)
        difference = gaps.sum(-1) / pairs
        squares = (np.where(paired, gaps - difference[..., None], 0.0) ** 2).sum(-1)
        own, own_df = squares / (pairs - 1), np.maximum(pairs - 1, 0)
        residual, df = _residual_variance(scores, paired)
        # The first estimate holds if all arms are equally noisy, and the second also if the
        # baseline is noisier than they are: its noise is in every difference.
        pooled = np.maximum(2 * residual, squares.sum(-1) / own_df.sum(-1))[..., None]
        family = (pairs > 1).sum(-1)
        df = np.minimum(df, POOLED_ARMS * own_df.max(-1))
        limits = critical_values(family, df, level)
        variance = _guarded(np.where(pairs > 1, own, 0.0), own_df, pooled, limits, level)
        # The luck of the baseline's runs is corrected by the noise of ordinary arms. Where a few
        # arms are noisy, the pooled one is theirs, and the seeds would seem to explain little.
        noise = np.minimum(residual[..., None], _shrunk(own, own_df, pooled) / 2)
        shift, error = _extra_baselines(scores, paired, variance, noise)
    return Contrasts(pairs, difference + shift, variance, error, family, df)


def _guarded(own: Array, own_df: Array, pooled: Array, limits: Array, level: float) -> Array:
    """Variances of a paired difference [..., arms] to judge by; none is below the pooled one.

    Args:
        own: [..., arms], variances of the arms' own paired differences.
        own_df: [..., arms], their degrees of freedom, 0 for an arm without a variance.
        pooled: [..., 1], the variance of all arms.
        limits: [..., 1], critical values of |t|.
        level: level of confidence.
    """
    # An arm that is noisier than the others is judged by more than the pooled variance.
    variance = pooled + own_df / (own_df + PRIOR_DF) * np.maximum(own - pooled, 0)
    # Where the arms' variances differ by more than chance, an arm that scatters little may be a
    # noisy one, so its difference has to exceed what is then possible, too.
    family = np.maximum((own_df > 0).sum(-1), 1)
    possible = margins(own, own_df, 1 - level ** (1 / family))  # each nearly independent
    return np.fmax(variance, (possible / limits) ** 2)


def _shrunk(own: Array, own_df: Array, pooled: Array) -> Array:
    """Variances of a paired difference [..., arms], shrunk towards that of the middle arm.

    Args:
        own: [..., arms], variances of the arms' own paired differences.
        own_df: [..., arms], their degrees of freedom, 0 for an arm without a variance.
        pooled: [..., 1], the variance of all arms.
    """
    middle = variance_quantile(own_df, 0)
    known = np.where(own_df > 0, own, pooled)
    typical = np.where(own_df > 0, own / middle, pooled)
    typical = np.minimum(np.median(typical, -1, keepdims=True), pooled)
    return (own_df * known + PRIOR_DF * typical) / (own_df + PRIOR_DF)


def _residual_variance(scores: Array, paired: Array) -> tuple[Array, Array]:
    """Residual variance [...] of the additive fit arms + seeds to paired runs, and its df [...].

    Args:
        scores: [..., 1 + arms, seeds], the baseline first.
        paired: [..., arms, seeds], whether an arm and the baseline both have the seed.
    """
    used = np.concatenate([paired.any(-2, keepdims=True), paired], -2)
    weights = used.astype(np.float64)
    count = np.maximum(weights.sum(-1, keepdims=True), 1)
    values = np.where(used, scores, 0.0)
    # The arms' effects are eliminated first: without the arm means, the normal equations have one
    # unknown for each seed only.
    values = np.where(used, values - values.sum(-1, keepdims=True) / count, 0.0)
    shares = weights / count
    # A constant in all seeds is one in all arms too. The last term fixes it: seeds sum to 0.
    filled = np.asarray(used.any(-2), dtype=np.float64)
    diagonal = (weights.sum(-2) + (1 - filled))[..., None] * np.eye(scores.shape[-1])
    normal = (
        diagonal - np.swapaxes(weights, -1, -2) @ shares + filled[..., None] * filled[..., None, :]
    )
    seeds = np.linalg.solve(normal, values.sum(-2)[..., None])  # [..., seeds, 1]
    residuals = np.where(used, values - np.swapaxes(seeds, -1, -2) + shares @ seeds, 0.0)
    df = weights.sum((-1, -2)) - used.any(-1).sum(-1) - used.any(-2).sum(-1) + 1
    return (residuals**2).sum((-1, -2)) / df, df


def _extra_baselines(
    scores: Array, paired: Array, variance: Array, noise: Array
) -> tuple[Array, Array]:
    """Use the baseline's seeds that an arm lacks.

    Args:
        scores: [..., 1 + arms, seeds], the baseline first.
        paired: [..., arms, seeds], whether an arm and the baseline both have the seed.
        variance: [..., arms], variance of one paired difference.
        noise: [..., arms], variance of a run for a given seed.

    Returns:
        The corrections [..., arms] to add to the differences, and the standard errors [..., arms]
        of the corrected differences.
    """
    base = scores[..., :1, :]
    extra = ~np.isnan(base) & ~paired
    pairs, others = paired.sum(-1), extra.sum(-1)
    luck = np.where(paired, base, 0.0).sum(-1) / pairs - np.where(extra, base, 0.0).sum(
        -1
    ) / np.maximum(others, 1)
    count = (~np.isnan(base)).sum(-1)
    mean = np.where(np.isnan(base), 0.0, base).sum(-1, keepdims=True) / count[..., None]
    total = np.where(np.isnan(base), 0.0, (base - mean) ** 2).sum(-1) / np.maximum(count - 1, 1)
    total = np.maximum(total, noise)  # variance of a run under any seed
    # The difference is regressed on the luck. Their covariance is -noise / pairs: the part of the
    # luck that comes from the seeds is in the arm's runs too, and cancels in the difference.
    spread = total * (1 / pairs + 1 / np.maximum(others, 1))  # variance of the luck
    share = np.where((others > 0) & (spread > 0), noise / pairs / spread, 0.0)
    squared = variance / pairs - 2 * share * noise / pairs + share**2 * spread
    return np.where(share > 0, share * luck, 0.0), np.sqrt(squared)
