"""From cells to figures: pairs, curves, time to a target, dominated arms, parts."""

from __future__ import annotations

import dataclasses
import math

import pytest

from ablation.report.summary import (
    Reached,
    by_arm,
    by_class,
    by_size,
    curves,
    find_dominated,
    make_lines,
    mean_difference,
    pairs,
    reach,
    seconds_of,
)
from tests.ablation.fake import make_cell, make_study


def test_pairs_are_of_one_block() -> None:
    own = {seed: make_cell("SE@neck", seed, 0.5) for seed in (0, 2, 3)}
    plain = {seed: make_cell("plain", seed, 0.4) for seed in (3, 0, 1)}
    assert [(a.seed, b.seed) for a, b in pairs(own, plain)] == [(0, 0), (3, 3)]


def test_difference_is_of_pairs() -> None:
    found = mean_difference([(0.5, 0.4), (0.7, 0.5), (None, 0.3), (math.nan, 0.1)])
    assert found is not None
    assert (found.mean, found.pairs) == (pytest.approx(0.15), 2)
    assert found.error == pytest.approx(0.05)
    assert not found.stands_out  # two pairs never do
    assert mean_difference([(None, 0.1)]) is None
    three = mean_difference([(0.2, 0.1), (0.21, 0.1), (0.19, 0.1)])
    assert three is not None
    assert three.stands_out


def test_sizes_and_classes() -> None:
    own = {seed: make_cell("SE@neck", seed, 0.5, classes=("a", "a")) for seed in range(3)}
    plain = {seed: make_cell("plain", seed, 0.4, classes=("a", "a")) for seed in range(3)}
    assert {name: round(value.mean, 6) for name, value in by_size(own, plain).items()} == {
        "small": 0.1,
        "medium": 0.1,
    }
    assert list(by_class(own, plain)) == ["a", "a (1)"]
    assert by_class(own, plain)["a"].mean == pytest.approx(0.1, abs=0.01)


def test_curves_end_with_the_shortest_seed() -> None:
    cells = {seed: make_cell("plain", seed, 0.4) for seed in range(2)}
    cells[1] = dataclasses.replace(cells[1], curve=cells[1].curve[:7])
    assert curves(cells).shape == (2, 7)
    assert curves({}).size == 0


def test_time_to_a_target() -> None:
    rising = [{"metrics/mAP_0.5:0.95": value} for value in (0.1, 0.2, 0.3, 0.4)]
    cells = {
        seed: dataclasses.replace(make_cell("plain", seed, 0.4), curve=rising[: 4 - seed])
        for seed in range(3)
    }
    found = reach(cells, 0.3)
    assert (found.seeds, found.of, found.epochs) == (2, 3, 3)
    assert found.seconds == pytest.approx(3 * 100 * 0.032)
    assert reach(cells, 0.9).epochs is None
    assert reach(cells, math.nan).seeds == 0


def test_a_run_that_was_validated_once_has_no_curve() -> None:
    cell = make_cell("plain", 0, 0.4)
    once = [{**row, "metrics/mAP_0.5:0.95": math.nan} for row in cell.curve[:-1]]
    cells = {0: dataclasses.replace(cell, curve=[*once, cell.curve[-1]])}
    assert curves(cells).size == 0
    assert reach(cells, 0.1) == Reached(0, 0, None, None)
    assert reach({**cells, 1: cell}, 0.1).of == 1


def test_seconds_of_a_cell_that_was_interrupted_are_those_of_all_epochs() -> None:
    cell = make_cell("plain", 0, 0.4)
    resumed = dataclasses.replace(cell, timing={**cell.timing, "images": 300})
    assert seconds_of(resumed) == seconds_of(cell) == pytest.approx(20 * 100 * 0.032)
    assert seconds_of(dataclasses.replace(cell, timing={**cell.timing, "images": 0})) is None
    assert seconds_of(dataclasses.replace(cell, timing={})) is None


def test_dominated() -> None:
    points = {
        "plain": (1.0, 0.0),
        "good": (1.2, 0.5),
        "as good and slower": (1.3, 0.5),
        "worse": (1.1, -0.1),
        "better and slower": (1.4, 0.6),
        "equal": (1.2, 0.5),
    }
    assert find_dominated(points) == {"as good and slower", "worse"}


def test_the_baseline_comes_first_and_a_lucky_control_dominates_nobody() -> None:
    study = make_study({"SE@neck": 0.0, "CBAM@neck": 0.03, "GAM@neck": -0.03})
    lucky = [
        dataclasses.replace(verdict, difference=0.9) if verdict.arm == "A/A" else verdict
        for verdict in study.verdicts
    ]
    lines = make_lines(dataclasses.replace(study, verdicts=lucky))
    assert [line.name for line in lines] == ["plain", "A/A", "CBAM@neck", "SE@neck", "GAM@neck"]
    assert [line.is_dominated for line in lines[:3]] == [False] * 3
    assert lines[4].is_dominated
    assert {line.seeds for line in lines} == {5}
    plain = by_arm(study.cells)["plain"]
    assert lines[0].score == pytest.approx(sum(cell.score for cell in plain.values()) / 5)
    assert lines[2].reached.seeds == 5
    assert lines[4].reached.seeds == 0
