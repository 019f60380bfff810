"""Many arms against one baseline: their contrasts and errors, the distribution of the largest |t|,
and power.

C. W. Dunnett, "A multiple comparison procedure for comparing several treatments with a control",
JASA 50 (1955): the contrasts of k arms share the baseline, so any two of them are correlated by
1/2. Given the baseline z and the estimated scale u they are independent, which leaves a sum over
the nodes of z and of u.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch

Array = np.ndarray
NODES = 64  # for z and for u; seven digits of a critical value
# an arm's own variance is believed as far as df / (df + PRIOR_DF) where it exceeds the pooled one
PRIOR_DF = 4
POOLED_ARMS = (
    8  # more arms than these add nothing to the degrees of freedom: their noise may differ
)


def normal_cdf(x: Array) -> Array:
    return torch.special.ndtr(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))).numpy()


@functools.cache
def _baseline_nodes() -> tuple[Array, Array]:
    """Gauss-Hermite nodes and weights of a standard normal."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return nodes, weights / weights.sum()


@functools.lru_cache(maxsize=4096)
def scale_nodes(df: float) -> tuple[Array, Array]:
    """Nodes and weights of sqrt(chi2(df) / df), an estimated standard deviation whose true value is
    1.
    """
    spread = 1 / math.sqrt(2 * df)
    low, high = max(0.0, 1 - 7 * spread), 1 + 8 * spread
    x, weights = np.polynomial.legendre.leggauss(NODES)
    u = low + (high - low) * (x + 1) / 2
    log_density = (df - 1) * np.log(u) - df * u * u / 2
    weights = weights * np.exp(log_density - log_density.max())
    return u, weights / weights.sum()


@functools.lru_cache(maxsize=4096)
def adjusted_p(t: float, arms: int, df: float) -> float:
    """P(largest |t| of so many arms without any difference >= t): Dunnett's two-sided p-value, both
    tails.
    """
    z, z_weights = _baseline_nodes()
    u, u_weights = scale_nodes(df)
    shared, limit = (
        z[:, None],
        math.sqrt(2) * abs(t) * u,
    )  # (arm - baseline) / sqrt(2), the baseline being z
    inside = normal_cdf(limit + shared) - normal_cdf(shared - limit)
    return float(1 - z_weights @ inside**arms @ u_weights)


@functools.lru_cache(maxsize=4096)
def critical_value(arms: int, df: float, level: float = 0.95) -> float:
    """The t that the largest of so many arms without any difference reaches with probability 1 -
    level.
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


def expected_power(effect: float, limit: float, df: float, known_df: float) -> float:
    """Probability that t exceeds limit, where effect is the true difference over its *estimated*
    standard error.

    df: of the error in t. known_df: of the estimate in effect, over whose uncertainty the power is
    averaged, since an error that happened to come out small promises too much.
    """
    truth, truth_weights = scale_nodes(known_df)
    u, weights = scale_nodes(df)
    return float(truth_weights @ normal_cdf(effect * truth[:, None] - limit * u) @ weights)


@dataclass(frozen=True)
class Contrasts:
    """Arms against the baseline in one study or, with a leading axis, in many.

    Each [..., arms] unless said.
    """

    pairs: Array  # number of paired seeds
    difference: Array
    variance: Array  # of one paired difference, guarded
    error: Array  # standard error of difference
    family: Array  # [...]: arms with at least two pairs
    df: Array  # [...]


def contrasts(scores: Array) -> Contrasts:
    """scores: [..., 1 + arms, seeds], the baseline first, NaN where a run is missing. NaN comes out
    where none can be.

    Where the baseline has seeds that an arm lacks, they tell how lucky it was in those they share;
    the difference is corrected by the part of that luck which the seeds do not explain.
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
        # The first holds if all arms are alike; the second also if the baseline is noisier than
        # they are.
        pooled = np.maximum(2 * residual, squares.sum(-1) / own_df.sum(-1))[..., None]
        excess = np.where(pairs > 1, np.maximum(own - pooled, 0), 0.0)
        variance = pooled + own_df / (own_df + PRIOR_DF) * excess
        shift, error = _extra_baselines(scores, paired, variance, residual)
    family = (pairs > 1).sum(-1)
    df = np.minimum(df, POOLED_ARMS * own_df.max(-1))
    return Contrasts(pairs, difference + shift, variance, error, family, df)


def _residual_variance(scores: Array, paired: Array) -> tuple[Array, Array]:
    """Variance [...] about the least-squares fit of arms + seeds to the paired runs, and its df
    [...].
    """
    used = np.concatenate([paired.any(-2, keepdims=True), paired], -2)
    weights = used.astype(np.float64)
    count = np.maximum(weights.sum(-1, keepdims=True), 1)
    values = np.where(used, scores, 0.0)
    values = np.where(used, values - values.sum(-1, keepdims=True) / count, 0.0)  # arm means out
    shares = weights / count
    filled = np.asarray(
        used.any(-2), dtype=np.float64
    )  # the effects of the seeds shall have the sum 0
    diagonal = (weights.sum(-2) + (1 - filled))[..., None] * np.eye(scores.shape[-1])
    normal = (
        diagonal - np.swapaxes(weights, -1, -2) @ shares + filled[..., None] * filled[..., None, :]
    )
    seeds = np.linalg.solve(normal, values.sum(-2)[..., None])  # [..., seeds, 1]
    residuals = np.where(used, values - np.swapaxes(seeds, -1, -2) + shares @ seeds, 0.0)
    df = weights.sum((-1, -2)) - used.any(-1).sum(-1) - used.any(-2).sum(-1) + 1
    return (residuals**2).sum((-1, -2)) / df, df


def _extra_baselines(
    scores: Array, paired: Array, variance: Array, residual: Array
) -> tuple[Array, Array]:
    """What to add to the differences for the baseline's other seeds, and the standard errors after
    that.
    """
    base = scores[..., :1, :]
    extra = ~np.isnan(base) & ~paired
    pairs, others = paired.sum(-1), extra.sum(-1)
    luck = np.where(paired, base, 0.0).sum(-1) / pairs - np.where(extra, base, 0.0).sum(
        -1
    ) / np.maximum(others, 1)
    noise = residual[..., None]  # of a run, its seed given
    count = (~np.isnan(base)).sum(-1)
    mean = np.where(np.isnan(base), 0.0, base).sum(-1, keepdims=True) / count[..., None]
    total = np.where(np.isnan(base), 0.0, (base - mean) ** 2).sum(-1) / np.maximum(count - 1, 1)
    total = np.maximum(total, noise)  # of a run, its seed not given
    spread = total * (
        1 / pairs + 1 / np.maximum(others, 1)
    )  # variance of luck; noise / pairs is its covariance
    share = np.where((others > 0) & (spread > 0), noise / pairs / spread, 0.0)
    squared = variance / pairs - 2 * share * noise / pairs + share**2 * spread
    return np.where(share > 0, share * luck, 0.0), np.sqrt(squared)
