"""Clues: the right sentence with its figures where there is one, and none where there is not."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import pytest

from ablation.causes import LEAST_WEIGHT
from ablation.clues import (
    Clue,
    of_curve,
    of_gap,
    of_gates,
    of_gradient,
    of_parts,
    of_start,
)
from ablation.gates import GateStats, Health
from ablation.results import CellResult
from tests.ablation.fake import make_cell

CALM = GateStats("row", "SE", 0.9, 0.1, 0.0, 0.0, None, 100)
PLAIN_CELLS = {seed: make_cell("plain", seed, 0.4) for seed in range(5)}


def health(gradient: float = 0.1, parameters: float = 0.01, **changes: Any) -> Health:
    return Health((dataclasses.replace(CALM, **changes), CALM), gradient, parameters)


def shown(found: Iterable[Clue]) -> list[str]:
    return [clue.sentence for clue in found if clue.weight >= LEAST_WEIGHT]


def changed(**factors: float) -> dict[int, CellResult]:
    """Cells of the arm: the baseline's with the columns of a split (train, val) times a factor."""
    cells = {}
    for seed, cell in PLAIN_CELLS.items():
        curve = [
            {name: value * factors.get(name.split("/")[0], 1.0) for name, value in row.items()}
            for row in cell.curve
        ]
        cells[seed] = dataclasses.replace(cell, arm="SE@neck", curve=curve)
    return cells


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mean": 0.25}, ["row passes 0.25 × its input", "weaker"]),
        ({"mean": 2.5}, ["row passes 2.50 × its input", "stronger"]),
        ({"spread": 0.001}, ["row is nearly a constant factor (0.90, spread 0.001)"]),
        ({"low": 0.5, "high": 0.2}, ["50% of gate values are below 0.05 and 20% above 0.95"]),
        ({"alpha": 0.01}, ["alpha is 0.010"]),
    ],
)
def test_gates(changes: dict[str, float], words: list[str]) -> None:
    (sentence,) = shown(of_gates(health(**changes)))
    assert all(word in sentence for word in words)


def test_ordinary_gates_and_gradients_are_no_clues() -> None:
    assert (
        shown(of_gates(health()))
        == shown(of_gates(None))
        == shown(of_gates(health(alpha=0.8)))
        == []
    )
    assert shown(of_gradient(health())) == shown(of_gradient(health(0.0, 0.0))) == []


def test_gradients() -> None:
    assert shown(of_gradient(health(0.001, 0.2))) == [
        "Hardly learning: the modules hold 20.00% of the parameters and 0.10% of the gradient's"
        " norm."
    ]
    assert shown(of_gradient(health(0.9, 0.1)))[0].startswith("Dominant")


@pytest.mark.parametrize(
    ("change", "weights", "words"),
    [(0.78, "plain.pt", "by 78%, which pretrained rows"), (0.78, "", ""), (0.0, "plain.pt", ""),
     (0.3, "plain.pt", ""), (None, "plain.pt", "")],
)  # fmt: skip
def test_a_start_that_changes_what_pretrained_rows_expect(
    change: float | None, weights: str, words: str
) -> None:
    found = shown(of_start(dataclasses.replace(health(), change=change), weights))
    assert [sentence for sentence in found if words in sentence] == found
    assert bool(found) == bool(words)
    assert not shown(of_start(None, weights))


def test_training_and_validation() -> None:
    assert "overfits" in shown(of_gap(changed(val=1.2), PLAIN_CELLS))[0]
    (sentence,) = shown(of_gap(changed(train=1.1, val=1.1), PLAIN_CELLS))
    assert (
        "fits the training images worse (training loss +10.0%, validation loss +10.0%" in sentence
    )
    assert shown(of_gap(changed(), PLAIN_CELLS)) == []


def test_an_arm_that_was_still_rising() -> None:
    cells = {}
    for seed, cell in PLAIN_CELLS.items():
        curve = [{**row, "metrics/mAP_0.5:0.95": 0.02 * row["epoch"]} for row in cell.curve]
        cells[seed] = dataclasses.replace(cell, curve=curve)
    assert "still rising" in shown(of_curve(cells, PLAIN_CELLS))[0]
    assert shown(of_curve(PLAIN_CELLS, PLAIN_CELLS)) == []
    once = {}  # --noval: only the last epoch has a score
    for seed, cell in cells.items():
        start = [{**row, "metrics/mAP_0.5:0.95": math.nan} for row in cell.curve[:-1]]
        once[seed] = dataclasses.replace(cell, curve=[*start, cell.curve[-1]])
    assert shown(of_curve(once, PLAIN_CELLS)) == []


def test_sizes_and_classes_that_differ_from_the_mean() -> None:
    worse = {
        seed: dataclasses.replace(
            cell, metrics={**cell.metrics, "ap_small": cell.metrics["ap_small"] - 0.05}
        )
        for seed, cell in PLAIN_CELLS.items()
    }
    assert shown(of_parts(worse, PLAIN_CELLS, None)) == [
        "AP of small objects changed by -5.0 points (standard error 0.0; medium +0.0)."
    ]
    assert shown(of_parts(PLAIN_CELLS, PLAIN_CELLS, None)) == []
    few = {0: worse[0]}
    assert shown(of_parts(few, PLAIN_CELLS, None)) == []  # one seed is no evidence
