"""Verdicts and planning on studies with known answers, and input that is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ablation.statistics.planning import baseline_seeds, futile
from ablation.statistics.scores import noise
from ablation.statistics.verdicts import compare_arms
from utils.errors import UserError
from utils.seeds import stream


def study(
    arms: int = 3, seeds: int = 5, sd: float = 0.002, **effects: float
) -> dict[str, dict[int, float]]:
    """Scores of plain, a0, a1 …: 0.4 plus the seed's effect, noise, and the effects by name."""
    rng = stream("study", arms, seeds)
    common = rng.normal(0, 0.004, seeds)
    names = ["plain", *(f"a{place}" for place in range(arms))]
    return {
        name: {
            seed: 0.4 + effects.get(name, 0.0) + common[seed] + rng.normal(0, sd)
            for seed in range(seeds)
        }
        for name in names
    }


def by_arm(*args, **options):
    return {verdict.arm: verdict for verdict in compare_arms(*args, **options)}


def test_verdicts_follow_the_intervals_and_p():
    found = by_arm(study(a1=0.02, a2=-0.02), "plain")
    assert list(found) == ["a0", "a1", "a2"]
    assert [found[arm].verdict for arm in found] == ["no evidence", "helps", "hurts"]
    for verdict in found.values():
        assert (
            (verdict.low > 0 or verdict.high < 0)
            == (verdict.p < 0.05)
            == (verdict.verdict != "no evidence")
        )
        assert verdict.low < verdict.difference < verdict.high
        assert verdict.seeds == 5
    assert found["a1"].further_seeds == found["a2"].further_seeds == 0


def test_one_arm_is_the_paired_t_test():
    """By hand: differences of 1..5 hundredths, t = 3 / sqrt(2.5 / 5) = 4.243, 4 df, p = 0.0132."""
    scores = {
        "plain": dict.fromkeys(range(5), 0.3),
        "x": {seed: 0.3 + 0.01 * (seed + 1) for seed in range(5)},
    }
    (verdict,) = compare_arms(scores, "plain")
    assert verdict.difference == pytest.approx(0.03)
    assert verdict.p == pytest.approx(0.01324, abs=1e-5)
    assert verdict.low == pytest.approx(0.03 - 2.776445 * 0.01 * math.sqrt(0.5), abs=1e-7)
    assert verdict.verdict == "helps"
    assert verdict.p_sign_flip == pytest.approx(2 / 32)
    assert "cannot decide with 5 seeds, from 6 on" in verdict.note


def test_a_lower_level_narrows_the_interval():
    wide, narrow = (by_arm(study(), "plain", level=level)["a0"] for level in (0.95, 0.8))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_noisy_arm_has_a_wider_interval_than_a_quiet_one():
    scores = study(6)
    for seed in range(5):
        scores["a0"][seed] += 0.01 * (-1) ** seed
    found = by_arm(scores, "plain")
    assert found["a0"].high - found["a0"].low > 1.3 * (found["a1"].high - found["a1"].low)


def test_two_seeds_never_say_helps():
    verdict, *_ = compare_arms(study(6, seeds=2, sd=1e-5, a0=0.2), "plain")
    assert verdict.low > 0
    assert verdict.verdict == "no evidence"
    assert verdict.further_seeds >= 1
    assert "no verdict on fewer than 3" in verdict.note


def test_an_arm_with_failed_runs_keeps_its_other_pairs():
    scores = study(4, a1=0.02)
    del scores["a1"][0], scores["a2"][1], scores["plain"][4]
    found = by_arm(scores, "plain")
    assert [verdict.seeds for verdict in found.values()] == [4, 3, 3, 4]
    expected = np.mean([scores["a1"][seed] - scores["plain"][seed] for seed in (1, 2, 3)])
    assert found["a1"].difference == pytest.approx(expected, abs=0.002)
    assert found["a1"].verdict == "helps"


def test_an_arm_that_shares_no_seed_because_cells_failed_is_not_a_control():
    scores = study(2)
    scores["a0"] = {4: 0.9}
    del scores["plain"][4]
    for verdict in (by_arm(scores, "plain")["a0"], by_arm(scores, "plain", controls=["a0"])["a0"]):
        assert verdict.verdict == "no evidence"
        assert verdict.note.startswith("a control") == (verdict.seeds == 1)
    assert by_arm(scores, "plain")["a0"].seeds == 0
    assert futile(scores, "plain", 0.005, 8) == set()
    assert noise(scores, "plain").sd_pair == noise(scores, "plain", ["a0"]).sd_pair


@pytest.mark.parametrize("seeds", [0, 1])
def test_an_arm_without_pairs_has_no_interval(seeds):
    scores = study(2)
    scores["a0"] = dict.fromkeys(range(seeds), 0.9)
    found = by_arm(scores, "plain")
    assert found["a0"].verdict == "no evidence"
    assert math.isnan(found["a0"].low)
    assert math.isnan(found["a0"].difference) == (seeds == 0)
    assert found["a0"].further_seeds == 3 - seeds
    assert not math.isnan(found["a1"].low)


def test_a_baseline_without_runs_gives_no_evidence():
    scores = study(2)
    scores["plain"] = {}
    assert {verdict.verdict for verdict in compare_arms(scores, "plain")} == {"no evidence"}
    assert compare_arms({"plain": {0: 0.1}}, "plain") == []


def test_scores_that_do_not_vary_are_no_evidence():
    for gain in (0.0, 0.1):
        scores = {"plain": dict.fromkeys(range(4), 0.3), "x": dict.fromkeys(range(4), 0.3 + gain)}
        (verdict,) = compare_arms(scores, "plain")
        assert verdict.verdict == "no evidence"
        assert "the differences are the same for every seed" in verdict.note
        assert math.isnan(verdict.p)
    assert futile(scores, "plain", 0.005, 8) == set()


def test_controls_are_a_family_of_their_own():
    """A control widens no interval of the other arms, and gets the interval of a single arm."""
    scores = study(3)
    alone = compare_arms(scores, "plain")
    rng = stream("control")
    scores["A/A"] = {seed: 0.4 + rng.normal(0, 0.004) for seed in range(1000, 1005)}
    found = by_arm(scores, "plain", controls=["A/A"])
    assert list(found.values())[:3] == alone
    gaps = np.array(list(scores["A/A"].values())) - np.array(list(scores["plain"].values()))
    assert found["A/A"].difference == pytest.approx(gaps.mean())
    assert found["A/A"].high - gaps.mean() == pytest.approx(
        2.776445 * gaps.std(ddof=1) / math.sqrt(5), rel=1e-6
    )
    assert found["A/A"].note.startswith("a control")


def test_a_correction_by_further_baseline_seeds_is_noted():
    scores = study(2)
    assert all("other seeds" not in verdict.note for verdict in compare_arms(scores, "plain"))
    scores["plain"] |= dict.fromkeys(range(5, 10), 0.39)
    for arm, verdict in by_arm(scores, "plain").items():
        pairs = 100 * np.mean([scores[arm][seed] - scores["plain"][seed] for seed in range(5)])
        assert abs(100 * verdict.difference - pairs) > 0.01
        said = f"{pairs:+.2f} mAP on the paired seeds, corrected by the baseline's 5 other seeds"
        assert said.replace("-", "−") in verdict.note


def test_a_control_is_not_asked_for_gains_or_further_seeds():
    scores = study(1)
    scores["A/A"] = {
        seed + 1000: score + 0.02 * (seed % 2) for seed, score in scores["plain"].items()
    }
    verdict = by_arm(scores, "plain", controls=["A/A"])["A/A"]
    assert verdict.further_seeds == 0
    assert "gain" not in verdict.note


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "base"}, "base: the baseline is none of the arms"),
        ({"delta": 0.0}, "--delta 0.0"),
        ({"delta": math.nan}, "--delta nan"),
        ({"level": 1.0}, "level 1.0"),
    ],
)
def test_impossible_input_is_refused(change, message):
    with pytest.raises(UserError, match=message):
        compare_arms(study(), **{"baseline": "plain", **change})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_refused(bad):
    scores = study()
    scores["a1"][3] = bad
    for call in (lambda: compare_arms(scores, "plain"), lambda: futile(scores, "plain", 0.005, 8)):
        with pytest.raises(UserError, match="a1, seed 3"):
            call()


def test_sign_flip_beside_the_verdict_says_when_it_can_decide():
    verdict = compare_arms(study(6, seeds=8, a1=0.02), "plain")[1]
    assert verdict.p_sign_flip == pytest.approx(6 * 2 / 256)
    assert "sign-flip" not in verdict.note


def test_further_seeds_grow_with_noise_and_end_where_delta_is_ruled_out():
    quiet, loud = (
        by_arm(study(3, sd=sd, a0=0.004), "plain")["a0"].further_seeds for sd in (0.004, 0.008)
    )
    assert 0 < quiet < loud
    verdict = by_arm(study(3, sd=0.004), "plain")[
        "a0"
    ]  # delta is already ruled out, though the seeds are too few to show it
    assert verdict.further_seeds == 0
    assert "gain of 0.5 mAP is ruled out" in verdict.note
    verdict = by_arm(study(3, sd=0.1), "plain")["a0"]
    assert verdict.further_seeds == 195
    assert "fewer than 200 seeds would not" in verdict.note


def test_futility_stops_what_cannot_win_any_more():
    scores = study(4, a0=-0.02, a1=0.005, a2=0.03)
    assert futile(scores, "plain", 0.005, 6) >= {"a0"}
    assert not futile(scores, "plain", 0.005, 6) & {"a2"}
    assert futile(scores, "plain", 0.005, 5) == set()  # nothing left to save
    assert futile(scores, "plain", 0.005, 11) == set()  # not yet half of them
    assert futile(study(4, seeds=2, a0=-0.02), "plain", 0.005, 3) == set()
    assert futile({"plain": {0: 0.1}}, "plain", 0.005, 5) == set()


def test_futility_believes_what_an_arm_has_shown():
    """For delta alone, which is far below the noise, all arms would be stopped."""
    assert futile(study(4, seeds=4, sd=0.01, a2=0.04), "plain", 0.0001, 8) >= {"a1"}
    assert "a2" not in futile(study(4, seeds=4, sd=0.01, a2=0.015), "plain", 0.0001, 8)


def test_noise_is_known_from_the_scores():
    scores = {
        "plain": {0: 0.1, 1: 0.2, 2: 0.3},
        "x": {0: 0.12, 1: 0.2, 2: 0.34},
        "A/A": {7: 0.1, 8: 0.2},
        "lost": {},
    }
    found = noise(scores, "plain", ["A/A"])
    assert found.sd_pair == pytest.approx(0.02)
    assert found.sd_seed == pytest.approx(math.sqrt((2 * 0.01 + 2 * 0.05**2) / 3))
    assert math.isnan(noise({"plain": {}}, "plain").sd_pair)
    assert noise(scores, "plain", ["A/A", "A/A 2"]) == found  # of which all runs failed


def test_many_arms_share_a_larger_baseline():
    assert [baseline_seeds(arms, 5) for arms in (1, 5, 6, 25)] == [5, 5, 10, 10]
