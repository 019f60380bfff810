"""The recipe of a foreign checkpoint: what our configuration accepts, and nothing else."""

from __future__ import annotations

import torch

from models.weights.upstream.recipe import read_recipe
from utils.pickles.objects import PickledObject


def test_values_that_our_programs_refuse_are_dropped() -> None:
    hyp = {"lr0": -1.0, "momentum": 0.9, "mosaic": 2.0, "unknown": 1}
    bad = {"imgsz": 3, "epochs": "many", "seed": True, "data": "/etc/passwd"}
    content = {"opt": {**bad, "batch_size": 8, "patience": 5, "label_smoothing": 0, "hyp": hyp}}
    assert read_recipe(content, PickledObject("x", {})) == (
        {"batch_size": 8, "patience": 5, "label_smoothing": 0},
        {"momentum": 0.9},
    )


def test_gains_that_yolov5_scaled_on_the_model_are_not_taken() -> None:
    root = PickledObject("x", {"hyp": {"box": 0.02, "cls": 0.01, "obj": 0.25, "lr0": 0.03}})
    assert read_recipe({"opt": {"hyp": "hyp.yaml"}}, root) == ({}, {"lr0": 0.03})


def test_yolov8s_names_and_files_without_a_recipe() -> None:
    assert read_recipe(
        {"train_args": {"batch": 4, "nbs": 32, "dfl": 1.0}}, PickledObject("x", {})
    ) == ({"batch_size": 4}, {"nominal_batch": 32, "dfl": 1.0})
    assert read_recipe(PickledObject("x"), PickledObject("x", {"args": {"imgsz": 96}}))[0] == {
        "imgsz": 96
    }
    assert read_recipe({"opt": {"hyp": torch.zeros(1)}}, PickledObject("x")) == ({}, {})
