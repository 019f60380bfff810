"""The sign-flip test against enumeration, and Holm's adjustment by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ablation.statistics import exact
from ablation.statistics.exact import holm, sign_flip
from utils.seeds import stream


@pytest.mark.parametrize("seeds", [1, 2, 3, 6, 7])
def test_sign_flip_is_the_enumeration(seeds):
    differences = stream("flip", seeds).normal(0.3, 1, seeds)
    sums = [abs(np.dot(signs, differences)) for signs in itertools.product((1, -1), repeat=seeds)]
    expected = np.mean([one >= abs(differences.sum()) - 1e-12 for one in sums])
    assert sign_flip(differences) == pytest.approx(expected)
    assert sign_flip(np.abs(differences)) == pytest.approx(2 / 2**seeds)


def test_sign_flip_counts_ties_and_nothing():
    assert sign_flip(np.zeros(4)) == 1.0
    assert sign_flip(np.zeros(0)) == 1.0
    assert sign_flip(np.array([0.1, 0.1, 0.1, 0.0])) == pytest.approx(4 / 16)


def test_many_seeds_are_compared_with_random_patterns(monkeypatch):
    differences = stream("many").normal(0.5, 1, 20)
    expected = sign_flip(differences)
    assert 0.001 < expected < 0.2
    monkeypatch.setattr(exact, "MOST_EXACT", 19)
    error = np.sqrt(expected / exact.PATTERNS)
    assert sign_flip(differences) == pytest.approx(expected, abs=4 * error)
    assert sign_flip(np.ones(500)) == pytest.approx(1 / (exact.PATTERNS + 1))
    assert sign_flip(np.zeros(500)) == 1.0


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.6]) == pytest.approx([0.04, 0.09, 0.09, 0.6])
    assert holm([]) == []
