"""The model of a run: the classes of the weights that it starts from or goes on with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from engine.training.model import make_model
from models.yolo import DetectionModel
from tests.tiny import GRAPH
from utils.checkpoint import Checkpoint, save
from utils.config import TrainConfig
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters


def checkpoint(names: list[str]) -> Checkpoint:
    numbered = dict(enumerate(names))
    model = DetectionModel(GRAPH, class_count=len(names), names=numbered)
    return Checkpoint(model.graph, numbered, model.state_dict())


def make(names: list[str], resumed: Checkpoint | None, **flags: str) -> DetectionModel:
    config = TrainConfig(data="my.yaml", **flags)
    index = SimpleNamespace(names=dict(enumerate(names)))
    return make_model(config, Hyperparameters(), index, resumed)


def test_classes_in_another_order_do_not_resume():
    with pytest.raises(UserError, match=r"my\.yaml: has the classes of the interrupted run in ano"):
        make(["dog", "cat"], checkpoint(["cat", "dog"]))


def test_renamed_classes_resume_with_a_note(capsys):
    assert make(["cat", "wolf"], checkpoint(["cat", "dog"])).names == {0: "cat", 1: "wolf"}
    assert "note: 1 of 2 class names differ, such as class 1: wolf" in capsys.readouterr().out


@pytest.mark.parametrize(("names", "said"), [
    (["wolf", "cow"], "note: 2 of 2 class names differ, such as class 0: wolf in my.yaml"),
    (["dog", "cat"], ""),  # whose scores are copied class by class
    (["Cat", "dog"], ""),
])  # fmt: skip
def test_weights_of_renamed_classes_are_said_at_the_start(tmp_path, capsys, names, said):
    save(checkpoint(["cat", "dog"]), tmp_path / "best.pt")
    make(names, None, weights=str(tmp_path / "best.pt"))
    found = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    assert [line[: len(said)] for line in found] == ([said] if said else [])
