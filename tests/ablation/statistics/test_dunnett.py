"""Dunnett's test against published tables, Student's t, simulation and least squares."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablation.statistics.dunnett import (
    _shrunk,
    adjusted_p,
    contrasts,
    critical_value,
    expected_power,
    scale_nodes,
)
from bench.ablation_simulation import simulate
from utils.seeds import stream


@pytest.mark.parametrize(
    ("arms", "df", "expected"),
    [(2, 5, 3.03), (3, 10, 2.76), (6, 20, 2.80), (9, 60, 2.77)],  # Dunnett 1964, two-sided 5 %
)
def test_critical_values_are_dunnetts(arms, df, expected):
    assert critical_value(arms, df) == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("df", "expected"), [(2, 4.302653), (3, 3.182446), (4, 2.776445), (30, 2.042272)]
)
def test_one_arm_is_students_t(df, expected):
    assert critical_value(1, df) == pytest.approx(expected, abs=2e-6)
    assert adjusted_p(expected, 1, df) == pytest.approx(0.05, abs=1e-6)


def test_p_is_the_share_of_simulated_studies():
    rng, df = stream("dunnett"), 8
    arms, scale = rng.standard_normal((200_000, 5)), np.sqrt(rng.chisquare(df, (200_000, 1)) / df)
    largest = np.abs((arms[:, 1:] - arms[:, :1]) / math.sqrt(2) / scale).max(1)
    for t in (1.0, 2.0, 3.0):
        assert adjusted_p(t, 4, df) == pytest.approx((largest >= t).mean(), abs=0.004)
    assert adjusted_p(-2.0, 4, df) == adjusted_p(2.0, 4, df)


def test_power_is_the_share_of_simulated_tests():
    rng = stream("power")
    t = (3.0 + rng.standard_normal(200_000)) / np.sqrt(rng.chisquare(6, 200_000) / 6)
    assert expected_power(3.0, 2.4, 6, 1e6) == pytest.approx((t > 2.4).mean(), abs=0.005)
    unsure = 3.0 * np.sqrt(
        rng.chisquare(2, 200_000) / 2
    )  # the error was estimated with two degrees of freedom
    t = (unsure + rng.standard_normal(200_000)) / np.sqrt(rng.chisquare(6, 200_000) / 6)
    assert expected_power(3.0, 2.4, 6, 2) == pytest.approx((t > 2.4).mean(), abs=0.005)
    u, weights = scale_nodes(6)
    assert weights @ u**2 == pytest.approx(1, abs=1e-6)


def least_squares(scores: np.ndarray) -> tuple[float, int]:
    """Residual variance and df of arms + seeds fitted to the paired runs."""
    paired = ~np.isnan(scores[1:]) & ~np.isnan(scores[:1])
    used = np.vstack([paired.any(0), paired])
    rows, values = [], []
    for arm, seed in np.argwhere(used):
        row = np.zeros(sum(scores.shape))
        row[[arm, len(scores) + seed]] = 1
        rows.append(row)
        values.append(scores[arm, seed])
    design, target = np.array(rows), np.array(values)
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    df = len(target) - np.linalg.matrix_rank(design)
    return float(residual @ residual / df), int(df)


def holed(arms: int = 4, seeds: int = 6) -> np.ndarray:
    scores = stream("holed").normal(0, 1, (1 + arms, seeds)) + np.arange(seeds)
    scores[2, 1] = scores[3, 4:] = np.nan
    return scores


@pytest.mark.parametrize("extra", [False, True])
def test_pooled_error_is_that_of_the_additive_fit(extra):
    scores = holed()
    if extra:
        scores[1:, 5] = np.nan
    variance, df = least_squares(scores)
    found = contrasts(scores)
    gaps = scores[1:] - scores[0]
    own = np.nanvar(gaps, axis=1, ddof=1)
    pairs = (~np.isnan(gaps)).sum(1)
    pooled = max(2 * variance, (own * (pairs - 1)).sum() / (pairs - 1).sum())
    expected = pooled + (pairs - 1) / (pairs + 3) * np.maximum(own - pooled, 0)
    np.testing.assert_allclose(found.variance, expected)
    assert found.df == min(df, 8 * (pairs.max() - 1))
    assert list(found.pairs) == list(pairs)


def test_complete_studies_have_plain_mean_differences():
    scores = stream("plain").normal(0, 1, (5, 4))
    found = contrasts(scores)
    np.testing.assert_allclose(found.difference, (scores[1:] - scores[0]).mean(1))
    np.testing.assert_allclose(found.error, np.sqrt(found.variance / 4))
    assert found.df == 12
    assert found.family == 4


def test_many_studies_at_once_are_each_of_them():
    stack = np.stack([holed(), stream("other").normal(0, 1, (5, 6))])
    together, apart = contrasts(stack), [contrasts(one) for one in stack]
    for name in ("pairs", "difference", "variance", "error", "family", "df"):
        np.testing.assert_allclose(
            getattr(together, name), np.stack([getattr(one, name) for one in apart])
        )


def test_extra_baseline_seeds_correct_luck_with_the_error_they_claim():
    """Without common noise of the seeds, a second set reveals half of the baseline's luck."""
    scores = stream("extra").normal(0, 1, (4000, 9, 10))
    scores[:, 1:, 5:] = np.nan
    found = contrasts(scores)
    errors = found.difference
    assert errors.std() == pytest.approx(math.sqrt(1.5 / 5), rel=0.04)  # 2 / 5 without
    assert (
        errors.std() < np.sqrt((found.error**2).mean()) < 1.2 * errors.std()
    )  # the guard only raises the error
    common = scores + 5 * stream("common").normal(0, 1, (4000, 1, 10))
    assert contrasts(common).difference.std() == pytest.approx(
        math.sqrt(2 / 5), rel=0.04
    )  # pairs alone are better


def test_more_arms_than_eight_add_no_degrees_of_freedom():
    assert contrasts(stream("df").normal(0, 1, (26, 3))).df == 16


def test_noisy_arms_do_not_undo_the_pairing_of_quiet_ones():
    """An arm with nearly the noise of the baseline's runs says nothing of the baseline's luck."""
    scores = simulate("alike", (2000, 9, 10), stream("alike"))
    scores[:, 1:, 5:] = np.nan
    found = contrasts(scores)
    pairs = np.nanmean(scores[:, 1:] - scores[:, :1], axis=-1)
    quiet, noisy = found.difference[:, 0], found.difference[:, -1]
    assert quiet.std() < 0.25  # 0.13 by pairs alone, and 0.5 if it were as noisy as the others
    assert noisy.std() < pairs[:, -1].std()


def test_the_variance_of_the_middle_arm_is_not_that_of_a_few_noisy_ones():
    own = stream("shrunk").chisquare(4, (2000, 25)) / 4
    own[:, -5:] *= 100
    df, pooled = np.full(own.shape, 4), own.mean(-1, keepdims=True)
    found = _shrunk(own, df, pooled)
    assert found[:, :-5].mean() == pytest.approx(1.0, rel=0.2)
    middle = np.median(own, -1, keepdims=True) / 0.8392  # the median of chi2(4) / 4
    np.testing.assert_allclose(found, (own + middle) / 2, rtol=0.01)
    lost = _shrunk(np.array([np.nan, 1.0, 3.0]), np.array([0, 4, 4]), np.array([2.0]))
    assert np.isfinite(lost).all()
    assert lost[0] == pytest.approx(2.0)  # the middle arm's would be larger than the pooled one
