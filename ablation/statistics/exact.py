"""The sign-flip test of paired differences, and Holm's adjustment for several tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ablation.statistics.dunnett import Array
from utils.seeds import stream

MOST_EXACT = 32  # seeds up to which all patterns are counted; with 40 an arm would take seconds
PATTERNS = 100_000  # random ones, of more seeds


def sign_flip(differences: Array) -> float:
    """Two-sided p-value of paired differences [seeds], 1.0 if there are none.

    It is the share of all 2^n sign patterns whose |sum| is at least as large as the observed one.
    The test assumes only that without an effect a difference has either sign equally often. Of more
    than MOST_EXACT seeds random patterns are counted, the observed one among them, which keeps it a
    p-value.
    """
    if not len(differences):
        return 1.0
    if len(differences) > MOST_EXACT:
        return _random_flips(differences)
    # The two halves of the seeds are enumerated separately, so that 32 seeds take twice 2^16 sums
    # instead of 2^32.
    left, right = (_signed_sums(part) for part in np.array_split(differences, 2))
    # Rounding must not separate sums that are equal.
    reach = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if reach <= 0:
        return 1.0
    right = np.sort(right)
    count = int((len(right) - np.searchsorted(right, reach - left)).sum())
    # The negated patterns are as many, hence the factor 2.
    return min(1.0, 2 * count / 2 ** len(differences))


def _random_flips(differences: Array) -> float:
    rng, reached, chunk = stream("sign flip", len(differences)), 1, 10_000
    reach = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    for _ in range(PATTERNS // chunk):
        flipped = rng.random((chunk, len(differences))) < 0.5
        sums = differences.sum() - 2 * flipped @ differences
        reached += int((np.abs(sums) >= reach).sum())
    return reached / (PATTERNS + 1)


def _signed_sums(values: Array) -> Array:
    """All sums [2^n] of the values [n] with either sign."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p-values so that any false rejection among them is as rare as in a single test.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6 (1979).
    """
    adjusted, least = [1.0] * len(p), 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = least
    return adjusted
