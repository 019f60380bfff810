"""What the variances of all arms say about that of each: empirical Bayes for a few seeds.

A few seeds estimate an arm's variance badly. If the arms' variances differ by no more than chance,
the truth is near their middle. If they differ by more, an arm that happened to scatter little may
be a noisy one, and how likely that is can be learnt from the other arms.

The prior of the true variances is a scaled inverse chi-square distribution (G. K. Smyth, "Linear
models and empirical Bayes methods for assessing differential expression in microarray experiments",
Stat. Appl. Genet. Mol. Biol. 3, 2004, section 6.2), which is then fitted to the arms without a form
(N. Ignatiadis and B. Sen, "Empirical partially Bayes multiple testing and compound chi-square
decisions", Annals of Statistics 53, 2025), where it counts as much as a few more arms. With few
arms it keeps its form, and with many it becomes theirs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray
POINTS = 24  # true variances that are thought possible, in equal ratios
REACH = 30.0  # the largest of them, times the largest that was seen
OTHERS = 4  # arms that the inverse chi-square distribution counts as
ROUNDS, HALVINGS = 30, 18  # of the fit, and of the search for a quantile
CHUNK = 2_000_000  # numbers at a time, which fit a processor's cache
MOST_PRIOR = 400.0  # degrees of freedom of the prior at which all variances are as good as equal
# Of a variance far below the others only so much counts for the prior, in standard deviations of
# what chance explains. An arm that equals the baseline would make all others look noisy.
LOWEST = 1.75


def margins(own: Array, own_df: Array, share: Array) -> Array:
    """What an arm's mean of pairs can be off by, for the arm's own share of the error.

    Args:
        own: [..., arms], variances of the arms' paired differences.
        own_df: [..., arms], their degrees of freedom; an arm with 0 has no variance.
        share: [...], probability that an arm is off by more, in either direction.

    Returns:
        [..., arms], in standard errors of a mean of pairs whose variance is 1: a difference of so
        much, divided by the root of the number of pairs. 0 where fewer than two arms have a
        variance.
    """
    shape, arms = own.shape, own.shape[-1]
    scale, df = _prior(own, own_df)
    values = [
        torch.from_numpy(np.ascontiguousarray(part.reshape(-1, part.shape[-1]), dtype=np.float32))
        for part in (own, own_df, scale, df, share[..., None])
    ]
    size = max(1, CHUNK // (arms * POINTS))
    chunks = zip(*(torch.split(part, size) for part in values), strict=True)
    found = torch.cat([_quantile(*_posterior(*chunk[:4]), chunk[4]) for chunk in chunks])
    several = (own_df > 0).sum(-1, keepdims=True) > 1
    return np.where(several, found.numpy().astype(np.float64).reshape(shape), 0.0)


def _prior(own: Array, own_df: Array) -> tuple[Array, Array]:
    """Scale and degrees of freedom, [..., 1] each, of the inverse chi-square distribution."""
    known, half = own_df > 0, np.maximum(own_df, 1) / 2
    logs = np.log(_raised(own, own_df)) - _polygamma(0, half) + np.log(half)
    count = np.maximum(known.sum(-1, keepdims=True), 1)
    middle = np.where(known, logs, 0).sum(-1, keepdims=True) / count
    squares = np.where(known, (logs - middle) ** 2, 0).sum(-1, keepdims=True)
    chance = np.where(known, _polygamma(1, half), 0).sum(-1, keepdims=True) / count
    # trigamma(df / 2) has no inverse in closed form, so it is interpolated; it falls as df grows.
    grid = np.geomspace(0.05, MOST_PRIOR / 2, 400)
    curve = _polygamma(1, grid)
    excess = np.maximum(squares / np.maximum(count - 1, 1) - chance, curve[-1])
    df = 2 * np.interp(excess, curve[::-1], grid[::-1])
    return np.exp(middle + _polygamma(0, df / 2) - np.log(df / 2)), df


def variance_quantile(df: Array, z: float) -> Array:
    """Quantiles of chi2(df) / df, by Wilson and Hilferty, at that of a normal number z."""
    spread = 2 / (9 * np.maximum(df, 1))
    return np.maximum(1 - spread + z * np.sqrt(spread), 0.05) ** 3


def _raised(own: Array, own_df: Array) -> Array:
    """The variances, the lowest raised to what chance makes of the middle one."""
    share = variance_quantile(own_df, -LOWEST) / variance_quantile(own_df, 0)
    ranked = np.sort(np.where(own_df > 0, own, np.inf), -1)
    place = np.maximum((own_df > 0).sum(-1, keepdims=True) - 1, 0) // 2
    middle = np.take_along_axis(ranked, place, -1)
    least = np.where(np.isfinite(middle), share * middle, 0) + np.finfo(np.float64).tiny
    return np.maximum(np.where(own_df > 0, own, least), least)


def _polygamma(order: int, x: Array) -> Array:
    """The derivative of that order of the digamma function, of any shape."""
    values = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))
    return torch.special.polygamma(order, values).numpy()


def _posterior(own: Tensor, own_df: Tensor, scale: Tensor, df: Tensor) -> tuple[Tensor, Tensor]:
    """Possible true variances, and how likely each is for each arm.

    Args:
        own: [studies, arms], variances.
        own_df: [studies, arms], their degrees of freedom.
        scale: [studies, 1], of the prior.
        df: [studies, 1], of the prior.

    Returns:
        Variances [studies, 1, POINTS], and probabilities [studies, arms, POINTS].
    """
    known, tiny = own_df > 0, torch.finfo(torch.float32).tiny
    most = torch.where(known, own, 0).amax(-1, keepdim=True).maximum(scale) * REACH
    least = torch.where(known, own, torch.inf).amin(-1, keepdim=True).minimum(scale) / 3
    least = least.maximum(1e-4 * most / REACH).clamp_min(tiny)
    steps = torch.linspace(0, 1, POINTS)
    points = (least.log() + steps * (most.maximum(least).log() - least.log())).exp()
    prior = torch.softmax(df / 2 * ((scale / points).log() - scale / points), -1)
    ratio = own.maximum(least)[..., None] / points[:, None]
    fit = (own_df[..., None] / 2 * (ratio.log() - ratio + 1)).exp()
    weights = prior.clone()
    for _ in range(ROUNDS):  # of expectation and maximization
        chances = fit * weights[:, None]
        chances /= chances.sum(-1, keepdim=True).clamp_min(tiny)
        weights = (chances.sum(-2) + OTHERS * prior) / (own.shape[-1] + OTHERS)
    chances = fit * weights[:, None]
    return points[:, None], chances / chances.sum(-1, keepdim=True).clamp_min(tiny)


def _quantile(points: Tensor, chances: Tensor, share: Tensor) -> Tensor:
    """The size [studies, arms] that a normal number exceeds with the probability `share`.

    Args:
        points: [studies, 1, POINTS], its possible variances.
        chances: [studies, arms, POINTS], how likely each is.
        share: [studies, 1].
    """
    spreads = points.sqrt()
    limit = -torch.special.ndtri(share / 2)
    low = (limit * spreads[..., 0]).log().expand(chances.shape[:-1])
    high = (limit * spreads[..., -1]).log().expand(chances.shape[:-1])
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        beyond = 2 * (chances * torch.special.ndtr(-middle.exp()[..., None] / spreads)).sum(-1)
        low, high = (
            torch.where(beyond > share, middle, low),
            torch.where(beyond > share, high, middle),
        )
    return high.exp()
