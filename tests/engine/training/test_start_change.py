"""How much new attention changes what the head gets, and when a run says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import train
from data.scanning.load import load_dataset
from engine.training.start_change import head_change, head_inputs, some_images, start_line
from models.graph.load import load_graph
from models.graph.sites import insert
from models.weights.transfer import transfer
from models.yolo import DetectionModel
from tests.tiny import run_flags, write_data
from utils.checkpoint import Checkpoint, save

NAMES = {0: "a", 1: "b"}


@pytest.fixture(scope="module")
def plain() -> DetectionModel:
    return DetectionModel(load_graph("models/yolov5n.yaml"), class_count=2, names=NAMES)


def with_attention(plain: DetectionModel, text: str, init: str = "paper") -> DetectionModel:
    """The plain network's weights, with attention in it."""
    graph = insert(load_graph("models/yolov5n.yaml"), [text], init)
    model = DetectionModel(graph, class_count=2, names=NAMES)
    transfer(model, source_of(plain))
    return model


def source_of(model: DetectionModel) -> Checkpoint:
    return Checkpoint(model.graph, NAMES, model.state_dict())


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("text", ["CBAM@neck", "SE@inside.C3", "MHSA@neck.P5", "SimAM@backbone"])
def test_the_change_is_that_from_the_plain_network(plain, images, text):
    model = with_attention(plain, text).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    found = head_change(model, images)
    with torch.no_grad():
        changed, own = (head_inputs(one.eval(), images) for one in (model, plain))
    expected = [float((a - b).norm() / b.norm()) for a, b in zip(changed, own, strict=True)]
    assert found == pytest.approx(sum(expected) / 3, rel=1e-4)
    assert found > 0.05
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_the_network_is_left_in_its_mode_without_hooks(plain, images):
    model = with_attention(plain, "SE@neck").train()
    head_change(model, images)
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_an_identity_start_changes_nothing(plain, images):
    assert head_change(with_attention(plain, "CBAM@neck", "identity"), images) == 0


def test_a_module_with_other_channels_cannot_be_left_out(plain, images):
    model = with_attention(plain, "SE@neck.P5")
    module = next(one for one in model.modules() if type(one).__name__ == "SE")
    module.forward = lambda x: torch.cat([x, x], -1)
    assert head_change(model, images) is None


def test_a_run_says_it_for_new_attention_only(plain, tmp_path, capsys):
    data = write_data(tmp_path)
    index = load_dataset(str(data), "train")
    new, source = with_attention(plain, "CBAM@neck"), source_of(plain)
    change = head_change(new, some_images(index, 64, 3))
    assert start_line(new, source, index, 50) == (
        f"Attention changes what the head gets by {100 * change:.0f} % at the start; with"
        " --attention-init identity it would be 0 %"
    )
    still = with_attention(plain, "CBAM@neck", "identity")
    assert start_line(still, source, index, 64).startswith("Attention leaves what the head gets")
    assert start_line(plain, source, index, 64) == ""
    assert start_line(new, source_of(new), index, 64) == ""  # the weights know it


def test_an_image_that_cannot_be_read_is_left_to_the_training(plain, tmp_path):
    index = load_dataset(str(write_data(tmp_path)), "train")
    for path in tmp_path.rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:20])
    for path in tmp_path.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:20])
    assert start_line(with_attention(plain, "CBAM@neck"), source_of(plain), index, 64) == ""


def test_train_prints_it(plain, tmp_path, capsys):
    save(source_of(plain), tmp_path / "plain.pt")
    flags = run_flags("models/yolov5n.yaml", write_data(tmp_path), "--epochs", "1", "--noplots")
    more = ["--weights", str(tmp_path / "plain.pt"), "--attention", "SE@neck"]
    train.main([*flags, *more, "--project", str(tmp_path / "runs")])
    assert "\nAttention changes what the head gets by " in capsys.readouterr().out
    assert Path(tmp_path / "runs").is_dir()
