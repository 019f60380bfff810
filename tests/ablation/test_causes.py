"""Causes: clues in order of their weight, and a last sentence on all that is ordinary."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from ablation import causes
from ablation.causes import explain_arm
from ablation.clues import Clue
from ablation.gates import Health
from ablation.study import Arm
from tests.ablation.test_clues import PLAIN_CELLS, changed, health
from tests.ablation.test_gates import constant_se, save_model
from utils.errors import UserError

ARM = Arm("SE@neck", ("SE@neck",), "paper", 0)


def test_the_strongest_clue_comes_first_and_the_rest_last(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_faults_come_before_all_other_clues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "of_gates", lambda health: [Clue(99.0, "a symptom")])
    monkeypatch.setattr(causes, "find_faults", lambda seen: ["a fault"])
    monkeypatch.setattr(causes, "measure_attention", lambda best: health())
    sentences = explain_arm(ARM, [*PLAIN_CELLS.values(), *changed().values()], None)
    assert sentences[:2] == ["Fault: a fault", "a symptom"]


def test_honest_when_nothing_stands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causes, "measure_attention", lambda best: health())
    (sentence,) = explain_arm(ARM, [*PLAIN_CELLS.values(), *changed().values()], None)
    assert sentence.startswith("Nothing that was examined stands out; measured:")


def test_a_failed_measurement_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
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
    """SE with closed gates: the clues come from the checkpoint itself."""
    save_model(constant_se(-1e4), tmp_path / "weights" / "best.pt", material["data"])
    own = [dataclasses.replace(cell, folder=tmp_path) for cell in changed().values()]
    sentences = explain_arm(ARM, [*PLAIN_CELLS.values(), *own], None)
    assert "model.3_SE passes 0.0" in sentences[0]
    assert any("of gate values are below 0.05" in sentence for sentence in sentences)
    assert explain_arm(ARM, [*PLAIN_CELLS.values(), *own], None) == sentences
