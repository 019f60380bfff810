"""Looks share one error, verdicts stay, and freed runs go to close arms within the plan."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.statistics.dunnett import critical_value
from ablation.statistics.sequential import (
    ALPHA,
    LEAST_SHARE,
    Looks,
    begin,
    error_shares,
    make_plan,
    obrien_fleming,
    take_look,
    until_look,
)
from bench.ablation_looks import LOOKS, MODES, plan_of
from bench.ablation_looks_methods import play
from bench.ablation_simulation import NOISES, false_shares, simulate, with_effect
from utils.seeds import stream


def test_the_spending_function_is_that_of_lan_and_demets():
    """By hand at half of the seeds: 1.95996 * sqrt(2) = 2.7718, beyond which both tails have
    0.00557.
    """
    assert obrien_fleming(1.0) == pytest.approx(1.0)
    assert obrien_fleming(0.5) * ALPHA == pytest.approx(0.00557, abs=1e-5)
    spent = [obrien_fleming(part) for part in np.linspace(0.05, 1, 20)]
    assert np.all(np.diff(spent) > 0)


@pytest.mark.parametrize("looks", [*LOOKS, (3, 100, 200)])
def test_shares_add_up_to_the_whole_error(looks):
    shares = error_shares(looks)
    assert len(shares) == len(looks)
    assert sum(shares) == pytest.approx(1.0)
    assert min(shares) >= LEAST_SHARE


def test_boundaries_fall_from_look_to_look():
    """With equal steps: early looks need more, and the last one a tenth more than a single test."""
    plan = make_plan((3, 6, 9, 12), 6)
    limits = [critical_value(6, 40, plan.level(look)) for look in range(4)]
    assert np.all(np.diff(limits) < 0)
    assert critical_value(6, 40) < limits[-1] < 1.12 * critical_value(6, 40)


def test_the_baseline_is_doubled_from_six_arms_on():
    assert make_plan((3, 6), 5).baselines == 1
    assert make_plan((3, 6), 6).baselines == 2


def test_a_verdict_stays_and_ends_its_arm():
    """An arm that helps at the first look is not judged again, whatever later seeds would say."""
    scores = simulate("normal", (50, 4, 12), stream("stays"))
    scores[:, 1] += 12
    plan = make_plan((3, 8), 3)
    first = take_look(scores, plan, begin(plan, 3, (50,)), 0, 2.5)
    decided = first.signs[:, 0] > 0
    assert decided.mean() > 0.9
    assert set(first.seeds[decided, 0]) == {3}
    assert set(first.seeds[first.ended < 0]) == {8}
    scores[:, 1, 3:] -= 99
    last = take_look(scores, plan, first, 1, 2.5)
    assert (last.signs[decided, 0] == 1).all()
    assert (last.ended[decided, 0] == 0).all()


def test_later_runs_and_failed_ones_are_not_looked_at():
    scores = simulate("normal", (5, 3, 12), stream("later"))
    plan = make_plan((3, 6), 2)
    scores[:, 1, 1] = np.nan
    course = begin(plan, 2, (5,))
    seen = until_look(scores, course)
    assert np.isnan(seen[..., 3:]).all()
    assert np.isnan(seen[:, 1, 1]).all()
    changed = scores.copy()
    changed[..., 3:] = 7
    one, other = (take_look(values, plan, course, 0, 2.5) for values in (scores, changed))
    assert np.array_equal(one.signs, other.signs)


@pytest.mark.parametrize("bad", [0.0, np.nan])
def test_nothing_is_decided_without_noise_or_without_runs(bad):
    scores = np.full((3, 4), bad)
    scores[1] += 0.5
    plan = make_plan((3, 4), 2, drops=True)
    course = take_look(scores, plan, begin(plan, 2), 0, 0.5)
    assert course.signs.tolist() == [0, 0]
    assert course.ended.tolist() == [-1, -1]


def test_hopeless_arms_are_dropped_and_others_get_their_runs_within_the_plan():
    scores = simulate("normal", (60, 7, 16), stream("given"))
    scores[:, 1:5] -= 6
    scores[:, 6] += 1.5
    plan = make_plan((4, 6, 8), 6, is_adaptive=True)
    course, given = begin(plan, 6, (60,)), 0
    for look, seeds in enumerate(plan.looks):
        used = course.seeds.sum(-1) + course.baseline
        assert (used <= (6 + plan.baselines) * seeds).all()
        assert (course.seeds <= 2 * seeds).all()
        assert (course.baseline >= course.seeds.max(-1)).all()
        given += int((course.seeds[:, 5] > seeds).sum())
        course = take_look(scores, plan, course, look, 2.5)
    assert given > 20
    assert (course.ended[:, :4] >= 0).mean() > 0.95
    without = play(scores, plan_of("futility", plan.looks, 6), 2.5)
    assert (without.seeds <= 8).all()


def test_an_arm_that_shows_nothing_is_dropped_where_the_plan_says_so():
    scores = simulate("normal", (60, 2, 8), stream("hopeless"))
    scores[:, 1] -= 1
    dropped = {}
    for drops in (False, True):
        plan = make_plan((4, 8), 1, drops=drops)
        course = take_look(scores, plan, begin(plan, 1, (60,)), 0, 0.5)
        dropped[drops] = int(((course.ended == 0) & (course.signs == 0)).sum())
    assert dropped[False] == 0
    assert dropped[True] > 20


def test_what_looks_say_of_one_study():
    """Four arms are bad, one is good, and the last one is close and gets their runs."""
    scores = simulate("normal", (1, 7, 16), stream("told"))[0]
    scores[1:] += np.array([-9, -9, -9, -9, 9, 2.2])[:, None]
    plan, names = make_plan((4, 6, 8), 6, is_adaptive=True), [f"a{place}" for place in range(6)]
    first = begin(plan, 6)
    second = take_look(scores, plan, first, 0, 2.5)
    looks = Looks(plan, names, [first], second)
    assert looks.ended(True) == dict.fromkeys(names[:5], 4)
    assert (looks.left, looks.seeds) == ((6, 8), 4)
    assert looks.spent == pytest.approx(plan.shares[0])
    assert looks.given() == {}
    assert looks.runs() == (32, 32)
    last = take_look(scores, plan, second, 1, 2.5)
    later = Looks(plan, names, [first, second], last)
    assert later.given() == {"a5": int(second.seeds[5]) - 6}
    assert later.given()["a5"] > 0
    assert later.runs()[0] == int(second.seeds.sum() + second.baseline)


@pytest.mark.parametrize("mode", MODES)
def test_useless_arms_hardly_ever_help(mode):
    looks = (3, 5, 8)
    study = simulate("one arm", (1000, 7, 16), stream("rare", mode))
    course = play(study, plan_of(mode, looks, 6), 2.5)
    assert max(false_shares(course.signs)) < 5.5
    helped = with_effect(simulate("normal", (500, 7, 16), stream("won", mode)), 2.5)
    assert (play(helped, plan_of(mode, looks, 6), 2.5).signs[:, -1] > 0).mean() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISES)
@pytest.mark.parametrize("arms", [1, 6, 25])
@pytest.mark.parametrize("mode", MODES)
def test_false_helps_at_most_five_per_cent(kind, arms, mode):
    """4,000 draws for each number of looks. 0.7 points are two standard errors of a 5 % share."""
    for looks in LOOKS:
        study = simulate(kind, (4000, 1 + arms, 2 * looks[-1]), stream("looks", kind, arms, *looks))
        assert false_shares(play(study, plan_of(mode, looks, arms), 2.5).signs)[0] < 5.7
