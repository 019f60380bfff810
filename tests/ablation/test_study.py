"""Arms and cells from flags, and the state of a cell from its folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ablation.config import StudyConfig
from ablation.results import is_due, read_cells, read_failures, read_scores, state
from ablation.study import Cell, make_arms, make_cells
from utils.errors import UserError


def names(**flags: object) -> list[str]:
    return [arm.name for arm in make_arms(StudyConfig(**flags))]


def test_arms_are_attention_times_place_times_init():
    assert names(attention=("SimAM", "GAM:rate=8"), at=("neck", "backbone.P5+neck.P4")) == [
        "plain", "A/A", "SimAM@neck", "SimAM@backbone.P5+neck.P4", "GAM:rate=8@neck",
        "GAM:rate=8@backbone.P5+neck.P4"]  # fmt: skip
    assert names(attention=("SE",), attention_init="both", aa=0) == [
        "plain",
        "SE@neck",
        "SE@neck identity",
    ]
    assert names(attention=("SE", "ECA@every C3", "SE"), at=("neck",), aa=2) == [
        "plain", "A/A", "A/A 2", "SE@neck", "ECA@every C3"]  # fmt: skip


def test_an_arm_says_what_to_put_in_and_how():
    arm = make_arms(
        StudyConfig(attention=("CBAM:reduction=8",), at=("neck",), attention_init="identity")
    )[-1]
    assert (arm.attention, arm.init, arm.first_seed) == (("CBAM:reduction=8@neck",), "identity", 0)


def test_arms_that_would_share_a_folder_are_refused():
    with pytest.raises(UserError, match=r"SE@every C3 and SE@every-C3 would share a folder"):
        make_arms(StudyConfig(attention=("SE",), at=("every C3", "every-C3")))


def test_cells_come_seed_by_seed_and_the_baseline_may_have_more(tmp_path):
    config = StudyConfig(
        attention=("SE",), seeds=2, baseline_seeds=3, first_seed=5, project=str(tmp_path), name="s"
    )
    cells = make_cells(config, make_arms(config))
    assert [(cell.arm.name, cell.seed, cell.train_seed) for cell in cells] == [
        ("plain", 5, 5),
        ("A/A", 5, 1005),
        ("SE@neck", 5, 5),
        ("plain", 6, 6),
        ("A/A", 6, 1006),
        ("SE@neck", 6, 6),
        ("plain", 7, 7),
    ]
    assert [cell.folder.name for cell in cells[:3]] == [
        "plain_seed5",
        "A-A_seed1005",
        "SE@neck_seed5",
    ]
    assert {cell.folder.parent for cell in cells} == {tmp_path / "s" / "cells"}


def touch(path: Path, content: object = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content or {}))


@pytest.fixture
def cell(tmp_path: Path) -> Cell:
    config = StudyConfig(project=str(tmp_path))
    return make_cells(config, make_arms(config))[0]


def test_the_state_of_a_cell_is_what_lies_in_its_folder(cell):
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


def test_finished_cells_are_read_whole(tmp_path):
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


def test_attempts_that_are_no_number_are_named(cell):
    touch(cell.folder / "failed.json", {"attempts": "x"})
    with pytest.raises(
        UserError, match=r"failed.json: attempts: 'x': must be a number; delete the folder"
    ):
        is_due(cell)


def test_long_names_stay_apart_and_fit_a_file_system():
    arms = make_arms(
        StudyConfig(
            attention=[
                f"SE@{'+'.join(f'index.{row}' for row in range(1, 60 + last))}" for last in (0, 1)
            ]
        )
    )
    names = {arm.folder_name for arm in arms}
    assert len(names) == len(arms)
    assert max(len(name.encode()) for name in names) == 150


def test_a_start_that_the_text_says_itself_is_not_tried_both_ways():
    make_arms(StudyConfig(attention=("SE:init=identity@neck",)))
    for init in ("both", "identity"):
        with pytest.raises(UserError, match=r"SE:reduction=8, init=paper@neck: gives init itself"):
            make_arms(
                StudyConfig(attention=("SE:reduction=8, init=paper@neck",), attention_init=init)
            )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"seeds": 0}, "--seeds 0: must be at least 1"),
        ({"cores_per_cell": 0}, "--cores-per-cell 0"),
        ({"delta": 0.0}, "--delta 0.0: must be above 0"),
        ({"seeds": 1001}, "--seeds 1001: must be at most 1000"),
        ({"aa": 0}, "nothing to compare"),
        ({"name": "a/b"}, "--name 'a/b': must be the name of a folder"),
        ({"name": ".."}, "--name"),
    ],
)
def test_impossible_values_are_refused(flags, message):
    with pytest.raises(UserError, match=message):
        StudyConfig(**flags)
