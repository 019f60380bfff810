"""TorchScript files compute what the model computes, and hold its class names."""

from __future__ import annotations

import json

import torch

import export
from engine.export.settings import ExportConfig
from engine.export.task import silenced
from tests.engine.export.detectors import NAMES, expected, noise


def test_torchscript_gives_what_the_model_gives(model, tmp_path):
    (path,) = export.export(model, ExportConfig(imgsz=(64, 96)), tmp_path / "best.pt")
    extra = {"config.txt": ""}
    with silenced():
        loaded = torch.jit.load(str(path), _extra_files=extra)
    images = noise(1, 3, 64, 96)
    torch.testing.assert_close(loaded(images), expected(model, images), rtol=1e-4, atol=1e-4)
    assert json.loads(extra["config.txt"])["names"] == str(NAMES)
