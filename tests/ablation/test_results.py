"""The state of a cell from its folder alone, and what finished cells hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablation.config import StudyConfig
from ablation.results import (
    count_attempts,
    is_due,
    read_cells,
    read_failures,
    read_scores,
    set_damaged_aside,
    state,
)
from ablation.study import Cell, make_arms, make_cells
from utils.errors import UserError


def touch(path: Path, content: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content or {}))


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    config = StudyConfig(project=str(tmp_path))
    return make_cells(config, make_arms(config))[0]


def test_the_folder_has_the_state_of_a_cell(cell):
    assert (state(cell), is_due(cell)) == ("new", True)
    touch(cell.folder / "opt.yaml")
    assert state(cell) == "new"
    touch(cell.folder / "weights" / "last.pt")
    assert (state(cell), is_due(cell)) == ("partial", True)
    touch(cell.folder / "failed.json", {"reason": "tired", "attempts": 1})
    assert (state(cell), is_due(cell)) == ("failed", True)
    assert read_failures([cell]) == {"plain seed 0": "tired"}
    touch(cell.folder / "failed.json", {"reason": "tired", "attempts": 2})
    assert (state(cell), is_due(cell)) == ("failed", False)
    touch(cell.folder / "metrics.json", {"map": 0.25})
    assert (state(cell), is_due(cell)) == ("done", False)
    assert read_failures([cell]) == {}


def test_finished_cells_are_read(tmp_path):
    config = StudyConfig(project=str(tmp_path), seeds=1)
    plain, control = make_cells(config, make_arms(config))
    touch(plain.folder / "metrics.json", {"map": 0.25})
    touch(control.folder / "metrics.json", {"map": None})
    touch(plain.folder / "timing.json", {"forward": 0.5})
    for folder in (plain.folder, control.folder):
        (folder / "results.csv").write_text("epoch, metrics/mAP_0.5\n0, 0.5\n")
    first, second = read_cells([plain, control])
    assert (first.arm, first.score, first.curve) == (
        "plain",
        0.25,
        [{"epoch": 0.0, "metrics/mAP_0.5": 0.5}],
    )
    assert (first.timing, second.score, second.seed, second.train_seed) == (
        {"forward": 0.5},
        0.0,
        0,
        1000,
    )
    assert read_scores([plain, control]) == {"plain": {0: 0.25}, "A/A": {1000: 0.0}}


def test_a_damaged_file_is_named(cell):
    touch(cell.folder / "x")
    (cell.folder / "metrics.json").write_text("{")
    with pytest.raises(UserError, match=r"metrics.json: cannot be read .* delete the folder"):
        read_cells([cell])
    (cell.folder / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"metrics.json: has no score; delete the folder"):
        read_cells([cell])


def test_a_damaged_record_of_failures_does_not_end_a_study(cell):
    touch(cell.folder / "failed.json", {"attempts": "x"})
    assert is_due(cell)
    (cell.folder / "failed.json").write_bytes(b"\xff{")
    assert is_due(cell)
    assert read_failures([cell]) == {"plain seed 0": "unknown"}
    assert count_attempts(cell.folder) == 0


@pytest.mark.parametrize("name", ["metrics.json", "results.csv", "timing.json"])
def test_a_finished_cell_with_a_damaged_file_is_set_aside(cell, name):
    for number in range(2):
        touch(cell.folder / "metrics.json", {"map": 0.25})
        (cell.folder / "results.csv").write_text("epoch\n0\n")
        assert set_damaged_aside([cell]) == []
        (cell.folder / name).write_bytes(b"")
        (said,) = set_damaged_aside([cell])
        aside = cell.folder.with_name(cell.folder.name + f".damaged{number or ''}")
        assert (state(cell), (aside / name).exists()) == ("new", True)
        assert said.startswith("plain seed 0 is run again: ")
        assert said.endswith(f"; its former folder is now {aside}")
        assert "delete the folder" not in said
