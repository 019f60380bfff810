"""A map returns from the network's input to the frame, and two models answer one question."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from engine.explain.explainer import Explainer, in_frame, in_input, model_labels, subject_of
from engine.explain.settings import ExplainConfig
from engine.explain.targets import Target
from models.yolo import DetectionModel
from tests.tiny import lively, write_graph
from utils.structures import Frame

FRAME = Frame(np.random.default_rng(0).integers(0, 255, (50, 120, 3), np.uint8), "a.jpg", "a")


@pytest.fixture
def model(tmp_path: Path) -> DetectionModel:
    return lively(write_graph(tmp_path), {0: "a", 1: "b"}).eval().fuse()


def test_a_map_comes_back_without_the_border_of_the_input(model: DetectionModel) -> None:
    subject = subject_of(model, FRAME, (64,))
    assert subject.x.shape == (1, 3, 32, 64)  # 64 x 26.7 pixels of image within
    heat = torch.zeros(32, 64)
    heat[16:, 32:] = 1
    found = subject.to_frame(heat)
    assert found.shape == (50, 120)
    assert found[30:, 70:].min() == 1
    assert found[:20].max() == found[:, :50].max() == 0


def test_a_box_is_moved_between_inputs_of_two_sizes(model: DetectionModel) -> None:
    small, large = subject_of(model, FRAME, (64,)), subject_of(model, FRAME, (128,))
    target = Target(1, torch.tensor([10.0, 8.0, 30.0, 20.0]))
    moved = in_input(target, small, large)
    assert moved.box is not None
    assert target.box is not None
    assert np.allclose(in_frame(moved.box, large), in_frame(target.box, small), atol=1e-4)
    assert not torch.allclose(moved.box, target.box)


def test_the_same_weights_twice_give_the_same_map_twice(model: DetectionModel) -> None:
    config = ExplainConfig(imgsz=(64,), conf_thres=0.01, max_det=2, layers=("2",))
    explanation = Explainer({"one": model, "two": model}, config)(FRAME)
    assert len(explanation.targets) == 2
    for target in explanation.targets:
        one, two = target.panels["one"], target.panels["two"]
        assert one.heat is not None
        assert one.heat.shape == (50, 120)
        assert (one.heat == two.heat).all()
        assert one.score == two.score > 0


def test_models_are_named_by_file_or_run() -> None:
    paths = ["runs/train/plain/weights/best.pt", "yolov5n.pt", "old/yolov5n.pt"]
    assert model_labels(paths) == ["plain", "yolov5n", "yolov5n (3)"]
