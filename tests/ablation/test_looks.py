"""The runs, looks and verdicts of studies whose cells are written instead of trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from ablation.config import StudyConfig
from ablation.looks import judge_looks, run_looks
from ablation.statistics.sequential import Looks
from ablation.study import PLAIN, Arm, Cell, make_arms, make_cells
from utils.seeds import stream

GAINS = {"SE@a": 0.05, "SE@b": -0.05, "SE@c": 0.006}
NAMES = tuple(GAINS)


class Study:
    """A study in a folder, and the cells that were run, in order."""

    def __init__(self, folder: Path, **flags: Any) -> None:
        usual: dict[str, Any] = {"attention": NAMES, "project": str(folder), "looks": (3, 5, 8)}
        self.config = StudyConfig(**{**usual, **flags})
        self.arms: Sequence[Arm] = make_arms(self.config)
        self.cells = make_cells(self.config, self.arms, 2 if self.config.adaptive else 1)
        self.ran: list[str] = []
        self.said: list[str] = []
        self.failing: set[str] = set()
        self.attempts = 2  # that a failed cell says it had, of two at most

    def run(self, due: Sequence[Cell]) -> None:
        for cell in due:
            self.ran.append(cell.folder.name)
            cell.folder.mkdir(parents=True, exist_ok=True)
            if cell.folder.name in self.failing:
                (cell.folder / "failed.json").write_text(f'{{"attempts": {self.attempts}}}')
                continue
            noise = stream("cell", cell.arm.name, cell.train_seed).normal(0, 0.004)
            score = 0.4 + noise + GAINS.get(cell.arm.name, 0.0)
            (cell.folder / "results.csv").write_text("epoch\n0\n")
            (cell.folder / "metrics.json").write_text(json.dumps({"map": score}))

    def go(self) -> Looks:
        self.ran.clear()
        return run_looks(self.config, self.arms, self.cells, self.run, self.said.append)

    def verdicts(self, looks: Looks) -> dict[str, Any]:
        found = judge_looks(self.config, self.cells, looks, ["A/A"])
        return {verdict.arm: verdict for verdict in found}

    def count(self, arm: str) -> int:
        folder = self.config.folder / "cells"
        return len(list(folder.glob(f"{arm}_seed*/metrics.json")))


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Study]:
    return lambda **flags: Study(tmp_path, **{"seeds": 8, **flags})


def test_a_failed_run_is_tried_again_by_the_next_start_only(study):
    own = study()
    own.failing, own.attempts = {"SE@c_seed1"}, 1
    first = own.verdicts(own.go())
    assert own.ran.count("SE@c_seed1") == 1
    assert first["SE@c"].seeds == 7
    own.failing.clear()
    looks = own.go()
    assert own.ran == ["SE@c_seed1"]  # the looks that lacked it are repeated with it
    assert own.verdicts(looks)["SE@c"].seeds == 8


def test_decided_arms_get_no_more_runs_and_keep_their_verdict(study):
    own = study()
    looks = own.go()
    ended = looks.ended(True)
    assert ended["SE@a"] < 8
    assert own.count("SE@a") == ended["SE@a"]
    assert (own.count("SE@c"), own.count(PLAIN), own.count("A-A")) == (8, 8, 8)
    found = own.verdicts(looks)
    assert (found["SE@a"].verdict, found["SE@b"].verdict) == ("helps", "hurts")
    assert found["SE@a"].seeds == ended["SE@a"]
    assert f"decided at the look after {ended['SE@a']} seeds" in found["SE@a"].note
    assert found["A/A"].seeds == 8
    for verdict in found.values():
        assert (verdict.p < 0.05) == (verdict.low > 0 or verdict.high < 0)
    assert any("SE@a helps" in line for line in own.said)


def test_a_study_continues_from_look_to_look_as_if_it_had_never_stopped(study, tmp_path):
    """Stopped after 3, continued to 5 and to 8: the same runs and the same verdicts."""
    parts = [study(seeds=seeds) for seeds in (3, 5, 8)]
    for own in parts:
        looks = own.go()
        assert looks.seeds == own.config.seeds
    assert not {name for name in parts[2].ran if name in parts[0].ran + parts[1].ran}
    whole = Study(tmp_path / "whole", seeds=8)
    again = whole.go()
    assert sorted(whole.ran) == sorted(parts[0].ran + parts[1].ran + parts[2].ran)
    assert whole.verdicts(again) == parts[2].verdicts(looks)
    assert parts[0].said[0] == parts[2].said[0] == whole.said[0]


def test_intervals_are_wider_than_those_of_a_study_judged_once(study):
    from ablation.results import read_scores
    from ablation.statistics.verdicts import compare_arms

    own = study(seeds=5)
    found = own.verdicts(own.go())
    once = compare_arms(read_scores(own.cells), PLAIN, own.config.margin, controls=["A/A"])
    for verdict in once:
        mine = found[verdict.arm]
        assert mine.high - mine.low > 1.1 * (verdict.high - verdict.low)
        assert mine.p > verdict.p


def test_dropped_arms_give_their_runs_to_close_ones(study, monkeypatch):
    gains = {f"SE@{letter}": -0.02 for letter in "abcde"} | {"SE@f": 0.007}
    monkeypatch.setitem(globals(), "GAINS", gains)
    flags = {"attention": tuple(gains), "looks": (4, 6, 8), "adaptive": True}
    own = study(**flags)
    looks = own.go()
    used, planned = looks.runs()
    assert planned == (6 + 2) * 8
    assert used == sum(own.count(name) for name in (*gains, PLAIN)) < planned
    assert looks.given() == {"SE@f": own.count("SE@f") - looks.seeds}
    assert own.count("SE@f") > looks.seeds
    assert own.count("A-A") == looks.seeds
    first = own.ran.copy()
    assert own.go().given() == looks.given()
    assert own.ran == []
    assert len(first) == used + own.count("A-A")


def test_a_verdict_is_that_of_its_look_whatever_runs_come_later(study, monkeypatch):
    gains = {f"SE@{letter}": -0.02 for letter in "abcde"} | {"SE@f": 0.007}
    monkeypatch.setitem(globals(), "GAINS", gains)
    flags = {"attention": tuple(gains), "looks": (4, 6, 8), "adaptive": True}
    early, late = study(**flags, seeds=4), study(**flags)
    looks = early.go()
    then, now = early.verdicts(looks), late.verdicts(late.go())
    ended = [*looks.ended(True), *looks.ended(False)]
    assert len(ended) >= 3
    for name in ended:
        assert (then[name].low, then[name].high) == (now[name].low, now[name].high)


def test_futility_drops_and_gives_nothing(study):
    own = study(attention=("SE@b", "SE@c"), looks=(4, 8), futility=True)
    gains = own.go()
    assert set(gains.ended(True)) | set(gains.ended(False)) >= {"SE@b"}
    assert gains.given() == {}
    assert own.count("SE@b") == 4


def test_failed_runs_are_missing_pairs(study):
    own = study(seeds=3)
    own.failing = {"SE@c_seed1", "plain_seed2"}
    found = own.verdicts(own.go())
    assert [found[name].seeds for name in (*NAMES, "A/A")] == [2, 2, 1, 2]
    own = study(seeds=3, name="none")
    own.failing = {f"plain_seed{seed}" for seed in range(3)}
    looks = own.go()
    assert own.verdicts(looks) == {}
    assert looks.ended(True) == {}
