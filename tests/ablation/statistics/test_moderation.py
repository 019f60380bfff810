"""What an arm may be off by, given the variances of all arms, and the verdicts that it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ablation.statistics import moderation
from ablation.statistics.dunnett import contrasts, normal_cdf
from ablation.statistics.moderation import margins
from bench.ablation_methods import guarded
from bench.ablation_simulation import false_shares, simulate
from utils.seeds import stream

SHARE = 0.001


def limit(share: float = SHARE) -> float:
    """What a normal number exceeds with this probability, in either direction."""
    return -float(torch.special.ndtri(torch.tensor(share / 2, dtype=torch.float64)))


def found(own: np.ndarray, df: int, share: float = SHARE) -> np.ndarray:
    return margins(own, np.full(own.shape, df), np.full(own.shape[:-1], share))


def test_equal_variances_are_known_to_be_equal():
    own = stream("equal").chisquare(4, (1, 2000)) / 4
    assert np.median(found(own, 4)) == pytest.approx(limit(), rel=0.06)
    np.testing.assert_allclose(found(own, 4), limit(), rtol=0.2)  # 5.0 is the largest variance
    np.testing.assert_allclose(found(9 * own, 4), 3 * found(own, 4), rtol=1e-3)


def test_a_quiet_arm_may_be_one_of_the_noisy_ones():
    """Against Bayes' theorem with the two variances that the arms really have."""
    rng, df, noisy, few = stream("two"), 4, 25.0, 0.05
    truth = np.where(rng.random(3000) < few, noisy, 1.0)
    own = truth * rng.chisquare(df, 3000) / df
    own[:3] = 0.5, 1.0, 4.0

    def fit(variance: float) -> np.ndarray:
        ratio = own[:3] / variance
        return np.exp(df / 2 * (np.log(ratio) - ratio))

    chance = few * fit(noisy) / (few * fit(noisy) + (1 - few) * fit(1.0))
    sizes = np.linspace(2, 20, 20_000)[:, None]
    beyond = 2 * ((1 - chance) * normal_cdf(-sizes) + chance * normal_cdf(-sizes / 5))
    exact = sizes[(beyond > SHARE).argmin(0), 0]
    assert limit() < exact[0] < exact[1] < exact[2]
    assert exact[2] > 1.5 * limit()
    np.testing.assert_allclose(found(own, df)[:3], exact, rtol=0.15)


def test_few_arms_keep_the_form_of_the_prior():
    """Student's t with the degrees of freedom of the prior, if these can be told."""
    own = np.array([1.0, 9.0, 2.0, 30.0])
    few, many = found(own, 6), found(np.tile(own, 100), 6)
    assert (few[[0, 2]] > 1.5 * limit() * np.sqrt(own[[0, 2]])).all()
    assert many[0] < few[0]


def test_an_arm_without_a_variance_may_be_any_of_the_others():
    own, df = np.array([0.0, 0.5, 1.0, 2.0]), np.array([0, 4, 4, 4])
    off = margins(own, df, np.array(SHARE))
    assert off[1] < off[0]
    assert np.isfinite(off).all()
    np.testing.assert_allclose(off[1:], margins(own[1:], df[1:], np.array(SHARE)), rtol=0.1)
    assert (margins(own, np.array([0, 4, 0, 0]), np.array(SHARE)) == 0).all()
    assert (margins(own[1:2], df[1:2], np.array(SHARE)) == 0).all()


def test_an_arm_that_equals_the_baseline_does_not_make_the_others_look_noisy():
    own = np.append(stream("lowest").chisquare(4, 12) / 4, 0.0)
    least, middle = found(own, 4), found(np.append(own[:-1], 0.2), 4)
    assert np.isfinite(least).all()
    assert (least[:-1] < 1.4 * middle[:-1]).all()
    assert (found(np.zeros(5), 4) < 1e-12).all()


def test_studies_do_not_depend_on_each_other(monkeypatch):
    own = stream("chunks").chisquare(2, (7, 9)) / 2
    together = found(own, 2)
    monkeypatch.setattr(moderation, "CHUNK", 2 * 9 * moderation.POINTS)
    np.testing.assert_allclose(found(own, 2), together, rtol=1e-5)
    np.testing.assert_allclose(found(own[3], 2), together[3], rtol=1e-5)


def test_a_few_noisy_arms_are_seldom_believed():
    """Judged by Dunnett's error, with a guard for each arm by itself, 7 % have a false "helps"."""
    scores = simulate("few", (2000, 64, 10), stream("few"))
    scores[:, 1:, 5:] = np.nan
    helps, hurts = false_shares(guarded(scores))
    assert helps < 3
    assert hurts < 3


def test_one_arm_is_judged_by_its_own_error():
    scores = stream("one").normal(0, 1, (50, 2, 4))
    gaps = scores[:, 1] - scores[:, 0]
    np.testing.assert_allclose(contrasts(scores).variance[:, 0], gaps.var(-1, ddof=1))


def test_the_guard_grows_with_the_level():
    scores = simulate("few", (200, 9, 4), stream("level"))
    usual, strict = (contrasts(scores, level).variance for level in (0.95, 0.999))
    assert (strict >= 0.98 * usual).mean() > 0.99
    assert (strict[:, -1] > 1.2 * usual[:, -1]).mean() > 0.3


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_unit_of_scores_does_not_matter(factor):
    scores = simulate("uneven", (5, 9, 4), stream("unit"))
    usual, other = contrasts(scores), contrasts(factor * scores)
    np.testing.assert_allclose(other.error, factor * usual.error, rtol=1e-4)
