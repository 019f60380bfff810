"""How long a study would take: measured in train.py's loop, summed over cells and slots."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from ablation import estimate
from ablation.estimate import Countdown, Pace, estimate_seconds, measure_pace
from ablation.setup import make_slots
from ablation.study import make_arms, make_cells
from engine.training.logbook import StepTiming


def test_the_first_batches_do_not_count_and_a_few_are_enough():
    timing = StepTiming()
    stop = Countdown(timing, warm_up=2, measured=3)
    statuses = []
    for _ in range(5):
        timing.seconds["forward"] += 1.0
        timing.images += 4
        statuses.append(stop.status)
    assert statuses == [0, 0, 0, 0, 1]
    assert (timing.seconds["forward"], timing.images) == (3.0, 12)


def test_slow_batches_are_measured_once(monkeypatch):
    monkeypatch.setattr(estimate, "MOST_SECONDS", 0)
    stop = Countdown(StepTiming(), warm_up=2, measured=3)
    assert [stop.status for _ in range(3)] == [0, 0, 1]


def test_a_few_batches_are_really_trained_and_nothing_is_left(make_config, tmp_path, capsys):
    pace = measure_pace(make_config(), make_slots(make_config())[0])
    assert pace.images == (10, 4)
    assert 0 < pace.val < pace.train
    assert pace.epoch == pytest.approx(10 * pace.train + 4 * pace.val)
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_cells_add_up_by_their_ratio_and_share_the_slots(make_config):
    config = make_config(seeds=3, slots=2, epochs=10)
    cells = make_cells(config, make_arms(config))
    costs = {"plain": SimpleNamespace(latency_ratio=1.0), "A/A": SimpleNamespace(latency_ratio=1.5)}
    pace = Pace(0.1, 0.05, (100, 20), "cpu")
    assert estimate_seconds(config, cells, costs, pace) == pytest.approx((3 + 4.5) * 11 * 10 / 2)
    one = dataclasses.replace(config, slots=50)
    assert estimate_seconds(one, cells, costs, pace) == pytest.approx((3 + 4.5) * 11 * 10 / 6)
