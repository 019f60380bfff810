"""The network of an exported file, without any exporter."""

from __future__ import annotations

import pytest
import torch

import export
from engine.export.model import ExportedModel
from engine.export.settings import ExportConfig
from tests.engine.export.detectors import noise, suppressed
from utils.nms import NMSSettings


@pytest.mark.parametrize(("most", "conf"), [(5, 0.05), (1000, 0.05), (50, 1.0)])
def test_suppression_of_a_fixed_shape_is_that_of_detect(model, most, conf):
    """More detections than fit, fewer, and none at all."""
    wrapped = ExportedModel(model, NMSSettings(conf, 0.5, most))
    images = noise(1, 3, 96, 96)
    found, wanted = wrapped(images)[0], suppressed(model, images, most, conf)
    assert found.shape == (most, 6)
    assert 0 < len(wanted) <= most if conf < 1 else not len(wanted)
    torch.testing.assert_close(found[: len(wanted)], wanted, rtol=1e-3, atol=1e-3)
    assert not found[len(wanted) :].any()


def test_the_model_stays_as_it_was(model, tmp_path):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    export.export(model, ExportConfig(imgsz=(64,), half=True, nms=True), tmp_path / "best.pt")
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert next(model.parameters()).requires_grad
