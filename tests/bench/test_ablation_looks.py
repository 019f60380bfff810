"""The simulations of looks: their methods are what they say, and their tables are whole."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from ablation.statistics.sequential import begin, make_plan
from bench.ablation_looks import MAKERS, TABLE_HEADERS, saved_by, worst_rows
from bench.ablation_looks_methods import METHODS, follow, joint_shares, make_shares, pocock
from bench.ablation_simulation import NOISES, false_shares, simulate
from utils.seeds import stream


def test_joint_boundaries_are_the_published_ones():
    """Critical values of five equal looks under the O'Brien-Fleming type of Lan and DeMets, at 5 %
    two-sided: 4.877, 3.357, 2.680, 2.290, 2.031 (Reboussin and others, Controlled Clinical Trials
    21, 2000). They spend 2.5 % in each direction by the function of a one-sided error.
    """
    normal = NormalDist()

    def each_side(part: float) -> float:
        return 4 * normal.cdf(normal.inv_cdf(0.0125) / part**0.5) / 0.05

    shares = joint_shares((1, 2, 3, 4, 5), each_side)
    limits = [-normal.inv_cdf(0.05 * share / 2) for share in shares]
    assert limits == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=2e-3)
    assert sum(shares) > 1


def test_every_method_gives_each_look_a_share():
    assert make_shares("5 % at each look", (3, 6)) == (1.0, 1.0)
    assert make_shares("Pocock", (3, 6))[0] == pytest.approx(pocock(0.5))
    for method in METHODS[1:-1]:
        assert len(make_shares(method, (3, 5, 8))) == 3


def test_repeating_the_test_is_what_looks_must_not_do():
    """The control that fails: two looks at 5 % each, from 3 seeds on, with one noisy arm."""
    study = simulate("one arm", (3000, 7, 12), stream("naive"))
    naive, chosen = (
        false_shares(follow(method, study, (3, 6), 2.5).signs)[0]
        for method in ("5 % at each look", "O'Brien-Fleming")
    )
    assert naive > 5.5
    assert chosen < 5


def test_an_anytime_test_decides_what_is_clear():
    study = simulate("normal", (200, 3, 16), stream("anytime"))
    assert (follow("t-mixture", study, (3, 5, 8), 2.5).signs != 0).mean() < 0.03
    study[:, 1] += 30
    course = follow("t-mixture", study, (3, 5, 8), 2.5)
    assert (course.signs[:, 0] > 0).all()
    assert (course.ended[:, 0] <= 1).mean() > 0.9


def test_saved_runs_count_arms_and_baseline():
    plan = make_plan((3, 6), 2)
    assert saved_by(begin(plan, 2, (4,)), plan) == pytest.approx(50)


@pytest.mark.parametrize("table", MAKERS)
def test_rows_fit_their_headers(table):
    rows = MAKERS[table]((3, 4), 2, 20)
    assert {len(row) for row in rows} == {len(TABLE_HEADERS[table])}


def test_the_worst_cell_is_found():
    cells = ["1.0 / 2.0"] * len(NOISES)
    rows = [["a", "3 6", "1", *cells], ["a", "3 6", "6", "4.0 / 0.0", *cells[1:]]]
    assert worst_rows(rows, 3, 3 + len(NOISES)) == [["a", "4.0 %", "2.0 %", "normal, 6 arms, 3 6"]]
    assert np.isfinite(float(worst_rows(rows, 3, 3 + len(NOISES))[0][1][:-2]))
