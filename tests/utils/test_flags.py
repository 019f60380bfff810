"""Flags that several programs have: one entry of the table each, wherever they stand."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest

from utils.cli import read_flags
from utils.config import TrainConfig
from utils.families import V5, V8
from utils.flags import SHARED_FLAGS, shared


@dataclass(frozen=True)
class Example:
    iou_thres: float | None = shared("detection_iou")
    project: str = shared("project", "runs/example")
    exist_ok: bool = shared("exist_ok")
    name: str = shared("name", help="of this example", aliases=("--title",))


def test_a_configuration_takes_entries_and_may_change_their_default_and_help():
    assert Example() == Example(None, "runs/example", False, "exp")
    given = read_flags(Example, ["--iou", "0.5", "--exist-ok", "--title", "a"], "")
    assert given == {"iou_thres": 0.5, "exist_ok": True, "name": "a"}
    help_of = {field.name: field.metadata["help"] for field in dataclasses.fields(Example)}
    assert help_of["project"] == SHARED_FLAGS["project"].help
    assert help_of["name"] == "of this example"


def test_the_overlaps_named_in_the_help_are_the_families():
    for name, field in (("detection_iou", "detection_iou"), ("validation_iou", "validation_iou")):
        text = SHARED_FLAGS[name].help
        assert f"left out {getattr(V5, field)}, for graphs without" in text
        assert text.endswith(f" {getattr(V8, field)}")


@pytest.mark.parametrize("name", ["workers", "exist_ok", "noplots", "single_cls", "protocol"])
def test_training_has_the_tables_texts(name: str):
    (field,) = (field for field in dataclasses.fields(TrainConfig) if field.name == name)
    assert field.metadata["help"] == SHARED_FLAGS[name].help
    assert field.default == SHARED_FLAGS[name].default
