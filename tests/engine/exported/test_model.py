"""Exported files are detectors: batches, sizes, kinds of output, suppression within the file."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from engine.detector_model import fixed_size
from engine.exported.model import ExportedDetector, agreed_size
from engine.exported.onnx import open_onnx
from tests.engine.exported.files import FACTS, NAMES, V5_ROWS, V8_ROWS, write_onnx
from utils.errors import UserError
from utils.families import V5, V8
from utils.nms import NMSSettings, non_max_suppression

CPU = torch.device("cpu")
FIXED = (2, 3, 96, 96)


def opened(path) -> ExportedDetector:
    return ExportedDetector(functools.partial(open_onnx, path), CPU)


def images(*means: float) -> torch.Tensor:
    return torch.tensor(means)[:, None, None, None].expand(-1, 3, 96, 96).clone()


@pytest.mark.parametrize(("rows", "family"), [(V5_ROWS, V5), (V8_ROWS, V8)])
def test_a_file_gives_rows_as_a_model_does(tmp_path, rows, family):
    model = opened(write_onnx(tmp_path / "a.onnx", rows))
    assert (model.family, model.names, model.channels) == (family, NAMES, 3)
    assert (float(model.stride.max()), fixed_size(model), model.usual_size) == (32, None, (96, 96))
    assert not model.training
    decoded, raw = model(images(0.0, 0.5))
    assert raw is None
    wanted = torch.from_numpy(rows if family is V5 else rows.T)
    torch.testing.assert_close(decoded, torch.stack((wanted, wanted + 0.5)))


def test_a_fixed_batch_is_run_as_often_as_needed(tmp_path):
    model = opened(write_onnx(tmp_path / "a.onnx", shape=FIXED))
    decoded, _ = model(images(0.1, 0.2, 0.3))
    torch.testing.assert_close(decoded[:, -1, 0], torch.tensor([0.1, 0.2, 0.3]))
    assert fixed_size(model) == (96, 96)
    with pytest.raises(UserError, match=r"takes images of 96x96 only.*--dynamic.*not 64x96"):
        model(torch.zeros(1, 3, 64, 96))


def test_half_precision_is_of_the_file_alone(tmp_path):
    model = opened(write_onnx(tmp_path / "a.onnx", half=True))
    decoded, _ = model(images(0.5))
    assert decoded.dtype == torch.float32
    assert model.runtime.dtype == torch.float16
    torch.testing.assert_close(decoded[0], torch.from_numpy(V5_ROWS) + 0.5, atol=0.02, rtol=1e-3)


def test_suppressed_rows_pass_through_suppression_unchanged(tmp_path):
    found = np.array([[10, 10, 30, 40, 0.9, 1], [50, 50, 60, 60, 0.8, 0], [0] * 6], np.float32)
    facts = {**FACTS, "family": "v5", "nms": "True"}
    model = opened(write_onnx(tmp_path / "a.onnx", found, metadata=facts))
    assert model.suppresses
    assert (model.family.name, model.family.has_objectness) == ("v5", False)
    (kept,) = non_max_suppression(model(images(0.0))[0], model.family, NMSSettings(0.25, 0.45, 9))
    torch.testing.assert_close(kept, torch.from_numpy(found[:2]))


def test_augmentation_needs_the_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"--augment: .*a\.onnx.*give the checkpoint"):
        opened(write_onnx(tmp_path / "a.onnx"))(images(0.0), augment=True)


def test_the_size_is_the_files_unless_it_takes_any(tmp_path):
    fixed = opened(write_onnx(tmp_path / "a.onnx", shape=FIXED))
    free = opened(write_onnx(tmp_path / "b.onnx"))
    assert agreed_size(fixed, (), 640) == agreed_size(free, (), 640) == (96, 96)
    assert agreed_size(fixed, (96,), 640) == (96,)
    assert agreed_size(free, (64, 128), 640) == (64, 128)
    with pytest.raises(UserError, match=r"--imgsz 64: .*takes images of 96x96 only"):
        agreed_size(fixed, (64,), 640)


def test_another_device_opens_the_file_once_more(tmp_path):
    model = opened(write_onnx(tmp_path / "a.onnx"))
    assert model.on(CPU) is model
    elsewhere = model.on(torch.device("meta"))
    assert elsewhere is not model
    assert elsewhere is model.on(torch.device("meta"))
