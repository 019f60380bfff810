"""What the programs need of a detector, and that models and ensembles have it."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import torch
from torch import nn

from engine.detector_model import DetectorModel, device_of
from models.weights.ensemble import Ensemble
from models.yolo import DetectionModel
from tests.tiny import lively, write_graph
from utils.families import V5

NAMES = {0: "bright", 1: "dark"}


def check_detector(model: DetectionModel | Ensemble) -> None:
    for name in (*get_type_hints(DetectorModel), "family", "stride", "parameters", "train"):
        assert hasattr(model, name), name
    assert (model.names, model.family, float(model.stride.max())) == (NAMES, V5, 16)
    images = torch.zeros(1, 3, 64, 64)
    for augment in (False, True):
        decoded, _ = model(images, augment=augment)
        assert decoded.shape[::2] == (1, 7)


def test_models_and_ensembles_are_detectors(tmp_path: Path) -> None:
    model = lively(write_graph(tmp_path), NAMES).eval()
    check_detector(model)
    check_detector(Ensemble([model, model], ["a.pt", "b.pt"]).eval())


def test_a_model_without_weights_is_on_the_processor() -> None:
    assert device_of(nn.Identity()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
