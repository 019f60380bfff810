"""The model of a run: its classes and its input channels, and where they come from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from api import YOLO
from engine.inference.detector import Detector
from engine.inference.settings import DetectConfig
from engine.training.model import make_model, with_channels
from models.graph.load import load_graph
from models.yolo import DetectionModel
from tests.tiny import GRAPH, write_data, write_graph
from utils.checkpoint import Checkpoint, save
from utils.config import TrainConfig
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters


def checkpoint(names: list[str]) -> Checkpoint:
    numbered = dict(enumerate(names))
    model = DetectionModel(GRAPH, class_count=len(names), names=numbered)
    return Checkpoint(model.graph, numbered, model.state_dict())


def make(
    names: list[str], resumed: Checkpoint | None, **flags: str
) -> tuple[DetectionModel, list[str]]:
    config = TrainConfig(data="my.yaml", **flags)
    index = SimpleNamespace(names=dict(enumerate(names)))
    return make_model(config, Hyperparameters(), index, resumed)


def test_classes_in_another_order_do_not_resume():
    with pytest.raises(UserError, match=r"my\.yaml: has the classes of the interrupted run in ano"):
        make(["dog", "cat"], checkpoint(["cat", "dog"]))


def test_renamed_classes_resume_with_a_note():
    model, notes = make(["cat", "wolf"], checkpoint(["cat", "dog"]))
    assert model.names == {0: "cat", 1: "wolf"}
    assert "1 of 2 class names differ, such as class 1: wolf" in notes[0]


@pytest.mark.parametrize(("names", "said"), [
    (["wolf", "cow"], "2 of 2 class names differ, such as class 0: wolf in my.yaml"),
    (["dog", "cat"], ""),  # whose scores are copied class by class
    (["Cat", "dog"], ""),
])  # fmt: skip
def test_weights_of_renamed_classes_are_said_at_the_start(tmp_path, monkeypatch, names, said):
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text("train: images\nval: images\nnames: [cat, dog]\n")
    save(checkpoint(["cat", "dog"]), tmp_path / "best.pt")
    _, notes = make(names, None, weights=str(tmp_path / "best.pt"))
    assert [note[: len(said)] for note in notes] == ([said] if said else [])


@pytest.fixture
def grey_data(tmp_path):
    path = write_data(tmp_path, train=4, val=2)
    path.write_text(path.read_text() + "channels: 1\n")
    return path


def test_a_graph_that_does_not_say_gets_the_channels_of_the_data(tmp_path, grey_data):
    config = TrainConfig(cfg="tiny.yaml", data=str(grey_data))
    assert with_channels({"yaml_file": "tiny.yaml"}, config)["ch"] == 1
    assert with_channels({"yaml_file": "tiny.yaml", "ch": 1}, config)["ch"] == 1


def test_channels_that_differ_in_model_and_data_are_refused(grey_data):
    config = TrainConfig(cfg="tiny.yaml", data=str(grey_data))
    with pytest.raises(UserError, match=r"tiny\.yaml: ch: 3: but .* has channels: 1; make them"):
        with_channels({"yaml_file": "tiny.yaml", "ch": 3}, config)


def test_the_data_decides_over_a_checkpoint_whose_first_convolution_can_be_fitted(grey_data):
    config = TrainConfig(weights="a.pt", data=str(grey_data))
    assert with_channels({"yaml_file": "tiny.yaml", "ch": 3}, config)["ch"] == 1


def test_a_model_of_four_channels_is_refused_where_images_are_read(tmp_path):
    model = DetectionModel({**load_graph(write_graph(tmp_path)), "ch": 4})
    with pytest.raises(UserError, match="input channels \\(ch\\): 4: images are read in colour"):
        Detector(model, DetectConfig())


@pytest.mark.slow
def test_a_grey_model_is_trained_scored_and_used(tmp_path, grey_data, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = YOLO(write_graph(tmp_path))
    options = {"imgsz": 64, "batch": 2, "workers": 0, "device": "cpu"}
    model.train(data=str(grey_data), epochs=1, **options)
    assert model.model.channels == 1
    colour = tmp_path / "colour.yaml"
    colour.write_text(grey_data.read_text().replace("channels: 1\n", ""))
    assert model.val(data=str(colour), **options).metrics.notes == (
        "the model has 1 input channel, so all images are read in grey",
    )
    image = str(tmp_path / "images" / "val" / "000.png")
    assert model(image, imgsz=64, verbose=False)[0].orig_img.shape == (64, 64, 3)
    assert "shape (1, 1, 64, 64)" in str(model(image, imgsz=64)) + capsys.readouterr().out
    model.train(data=str(colour), pretrained=True, epochs=1, **options)
    assert model.model.channels == 1
