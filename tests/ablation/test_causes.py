"""Causes: the right sentence with its numbers, the most telling first, and none where there is
none.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from ablation import causes
from ablation.causes import (
    Clue,
    explain_arm,
    of_curve,
    of_gap,
    of_gates,
    of_gradient,
    of_parts,
    of_transfer,
)
from ablation.gates import Gate, Health
from ablation.results import CellResult
from ablation.study import Arm
from tests.ablation.fake import make_cell
from tests.ablation.test_gates import constant_se, save_model, with_attention
from utils.errors import UserError

ARM = Arm("SE@neck", ("SE@neck",), "paper", 0)
CALM = Gate("row", "SE", 0.9, 0.1, 0.0, 0.0, None)
PLAIN_CELLS = {seed: make_cell("plain", seed, 0.4) for seed in range(5)}


def health(gradient: float = 0.1, parameters: float = 0.01, **changes: Any) -> Health:
    return Health((dataclasses.replace(CALM, **changes), CALM), gradient, parameters)


def telling(findings: Any) -> list[str]:
    return [finding.sentence for finding in findings if finding.weight >= causes.LEAST_WEIGHT]


def changed(**columns: float) -> dict[int, CellResult]:
    """Cells of the arm whose columns of results.csv are the plain ones' times a factor, the last
    five epochs added.
    """
    cells = {}
    for seed, cell in PLAIN_CELLS.items():
        curve = [{name: value * columns.get(name.split("/")[0], 1.0) for name, value in row.items()}
                 for row in cell.curve]  # fmt: skip
        cells[seed] = dataclasses.replace(cell, arm="SE@neck", curve=curve)
    return cells


@pytest.mark.parametrize(("changes", "words"), [
    ({"mean": 0.25}, ["row passes 0.25 × its input", "weaker"]),
    ({"mean": 2.5}, ["row passes 2.50 × its input", "stronger"]),
    ({"spread": 0.001}, ["row is nearly a constant factor (0.90, spread 0.001)"]),
    ({"low": 0.5, "high": 0.2}, ["50% of gate values are below 0.05 and 20% above 0.95"]),
    ({"alpha": 0.01}, ["alpha is 0.010"]),
])  # fmt: skip
def test_gates(changes: dict[str, float], words: list[str]) -> None:
    (sentence,) = telling(of_gates(health(**changes)))
    assert all(word in sentence for word in words)


def test_ordinary_gates_and_gradients_tell_nothing() -> None:
    assert (
        telling(of_gates(health()))
        == telling(of_gates(None))
        == telling(of_gates(health(alpha=0.8)))
        == []
    )
    assert telling(of_gradient(health())) == telling(of_gradient(health(0.0, 0.0))) == []


def test_gradients() -> None:
    assert telling(of_gradient(health(0.001, 0.2))) == [
        "Hardly learning: the modules hold 20.00% of the parameters and 0.10% of the gradient's"
        " norm."
    ]
    assert telling(of_gradient(health(0.9, 0.1)))[0].startswith("Dominant")


def test_training_and_validation() -> None:
    assert "overfits" in telling(of_gap(changed(val=1.2), PLAIN_CELLS))[0]
    (sentence,) = telling(of_gap(changed(train=1.1, val=1.1), PLAIN_CELLS))
    assert (
        "fits the training images worse (training loss +10.0%, validation loss +10.0%" in sentence
    )
    assert telling(of_gap(changed(), PLAIN_CELLS)) == []


def test_a_run_that_was_still_rising() -> None:
    cells = {}
    for seed, cell in PLAIN_CELLS.items():
        curve = [{**row, "metrics/mAP_0.5:0.95": 0.02 * row["epoch"]} for row in cell.curve]
        cells[seed] = dataclasses.replace(cell, curve=curve)
    assert "still rising" in telling(of_curve(cells, PLAIN_CELLS))[0]
    assert telling(of_curve(PLAIN_CELLS, PLAIN_CELLS)) == []


def test_sizes_and_classes_that_depart_from_the_whole() -> None:
    worse = {
        seed: dataclasses.replace(
            cell, metrics={**cell.metrics, "ap_small": cell.metrics["ap_small"] - 0.05}
        )
        for seed, cell in PLAIN_CELLS.items()
    }
    assert telling(of_parts(worse, PLAIN_CELLS, None)) == [
        "AP of small objects changed by -5.0 points (standard error 0.0; medium +0.0)."
    ]
    assert telling(of_parts(PLAIN_CELLS, PLAIN_CELLS, None)) == []
    few = {0: worse[0]}
    assert telling(of_parts(few, PLAIN_CELLS, None)) == []  # one seed is no evidence


def test_transferred_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        causes,
        "count_transferred",
        lambda cell, weights, base: (349, 349) if cell.arm == "plain" else (270, 349),
    )
    own = changed()
    (sentence,) = telling(of_transfer(own, PLAIN_CELLS, "w.pt"))
    assert "270 of 349 tensors (77%)" in sentence
    assert "100% in the baseline" in sentence
    assert telling(of_transfer(own, PLAIN_CELLS, "")) == []
    assert telling(of_transfer(PLAIN_CELLS, PLAIN_CELLS, "w.pt")) == []


def test_transfer_is_counted_on_the_cells_own_graph(
    material: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = save_model(with_attention("SimAM"), tmp_path / "weights.pt", material["data"])
    save_model(constant_se(0.0), tmp_path / "cell" / "weights" / "best.pt", material["data"])
    module: Any = ModuleType("models.weights.transfer")
    module.transfer = lambda model, checkpoint: SimpleNamespace(
        copied=len(set(model.state_dict()) & set(checkpoint.state)), total=len(model.state_dict()))  # fmt: skip
    monkeypatch.setitem(sys.modules, "models.weights.transfer", module)
    cell = dataclasses.replace(PLAIN_CELLS[0], folder=tmp_path / "cell")
    copied, total = causes.count_transferred(cell, str(weights), cell)
    assert 0 < copied < total
    torch.save(
        torch.load(weights, weights_only=True)["state"], tmp_path / "bare.pt"
    )  # as other programs have them
    assert causes.count_transferred(cell, str(tmp_path / "bare.pt"), cell)[0] > 0


def test_the_most_telling_comes_first_and_the_rest_last(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Clue(1.2, "second"), Clue(3.0, "first"), Clue(0.5, "never")]
    monkeypatch.setattr(causes, "of_gates", lambda health: found)
    monkeypatch.setattr(causes, "measure_attention", lambda best: health())
    sentences = explain_arm(ARM, [*PLAIN_CELLS.values(), *changed().values()], None)
    assert sentences[:2] == ["first", "second"]
    assert len(sentences) == 3
    assert (
        sentences[2]
        == "Nothing else stands out; measured: factors 0.90 ± 0.10, 0.90 ± 0.10, 10.00% of the "
        "gradient's norm for 1.00% of the parameters."
    )


def test_honest_when_nothing_stands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "measure_attention", lambda best: health())
    (sentence,) = explain_arm(ARM, [*PLAIN_CELLS.values(), *changed().values()], None)
    assert sentence.startswith("Nothing that was examined stands out; measured:")


def test_what_cannot_be_measured_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def examine(best: Path) -> Health:
        raise UserError(f"{best}: no such file")

    monkeypatch.setattr(causes, "measure_attention", examine)
    assert (
        "could not be measured"
        in explain_arm(ARM, [*PLAIN_CELLS.values(), *changed().values()], None)[-1]
    )


def test_plain_arms_and_arms_without_cells_have_no_causes() -> None:
    cells = list(PLAIN_CELLS.values())
    assert explain_arm(Arm("plain", (), "", 0), cells, None) == explain_arm(ARM, cells, None) == []


def test_explained_from_a_checkpoint(material: dict[str, Any], tmp_path: Path) -> None:
    """SE that passes nothing: it is found on the file itself, with what follows from it."""
    save_model(constant_se(-1e4), tmp_path / "weights" / "best.pt", material["data"])
    own = [dataclasses.replace(cell, folder=tmp_path) for cell in changed().values()]
    sentences = explain_arm(ARM, [*PLAIN_CELLS.values(), *own], None)
    assert "model.3_SE passes 0.0" in sentences[0]
    assert any("of gate values are below 0.05" in sentence for sentence in sentences)
    assert explain_arm(ARM, [*PLAIN_CELLS.values(), *own], None) == sentences
