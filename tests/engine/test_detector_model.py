"""What the programs need of a detector, and that models and ensembles have it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch import nn

from engine.detector_model import DetectorModel, device_of, in_half
from models.weights.ensemble import Ensemble
from models.yolo import DetectionModel
from tests.tiny import lively, write_free_graph, write_graph
from utils import device
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


@pytest.mark.parametrize("write", [write_graph, write_free_graph])
def test_half_weights_decode_boxes_in_float32(
    tmp_path: Path, write: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, model = torch.device("cpu"), lively(write(tmp_path), NAMES).eval()
    images, kept = torch.rand(1, 3, 64, 64), dict(model.head.named_buffers(recurse=False))
    whole = model(images)[0]
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: False)
    assert in_half(model, cpu) == "fp32"
    assert torch.equal(model(images)[0], whole)
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: True)
    assert in_half(model, cpu) == "bf16"
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert dict(model.head.named_buffers(recurse=False)) == kept
    with device.autocast(cpu, "bf16"):
        half, maps = model(images)
    assert {level.dtype for level in maps} == {torch.bfloat16}
    assert half.dtype == torch.float32
    assert torch.allclose(half[..., :4], whole[..., :4], atol=2)  # pixels


def test_a_model_without_weights_is_on_the_processor() -> None:
    assert device_of(nn.Identity()) == torch.device("cpu")
    assert device_of(nn.Linear(1, 1, device="meta")) == torch.device("meta")
