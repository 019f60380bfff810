"""Arms and cells from flags."""

from __future__ import annotations

import pytest

from ablation.config import StudyConfig
from ablation.study import make_arms, make_cells
from utils.errors import UserError


def names(**flags: object) -> list[str]:
    return [arm.name for arm in make_arms(StudyConfig(**flags))]


def test_arms_are_attention_times_place_times_init():
    assert names(attention=("SimAM", "GAM:rate=8"), at=("neck", "backbone.P5+neck.P4")) == [
        "plain",
        "A/A",
        "SimAM@neck",
        "SimAM@backbone.P5+neck.P4",
        "GAM:rate=8@neck",
        "GAM:rate=8@backbone.P5+neck.P4",
    ]
    assert names(attention=("SE",), attention_init="both", aa=0) == [
        "plain",
        "SE@neck",
        "SE@neck identity",
    ]
    assert names(attention=("SE", "ECA@every C3", "SE"), at=("neck",), aa=2) == [
        "plain",
        "A/A",
        "A/A 2",
        "SE@neck",
        "ECA@every C3",
    ]


def test_an_arm_has_its_attention_and_start():
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


def test_long_names_stay_distinct_and_fit_a_file_system():
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


def test_a_start_given_in_the_text_is_not_tried_both_ways():
    make_arms(StudyConfig(attention=("SE:init=identity@neck",)))
    for init in ("both", "identity"):
        with pytest.raises(UserError, match=r"SE:reduction=8, init=paper@neck: gives init itself"):
            make_arms(
                StudyConfig(attention=("SE:reduction=8, init=paper@neck",), attention_init=init)
            )
