"""ONNX in eight bits: measured on training images, smaller, and near the model."""

from __future__ import annotations

from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch

import export
from engine.export.int8 import calibration_images, last_convolutions
from engine.export.settings import ExportConfig
from engine.exported.load import load_exported
from tests.engine.export.detectors import detector
from tests.tiny import write_data, write_graph

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript and onnxruntime are not installed",
)


def test_calibration_takes_training_images_as_the_network_gets_them(tmp_path):
    data = write_data(tmp_path, train=3, val=1, side=64)
    config = ExportConfig(include=("onnx",), imgsz=(32, 64), batch_size=2)
    task = export.make_task(detector(write_graph(tmp_path)), config, tmp_path / "best.pt")
    (batch,) = calibration_images(task, str(data))
    assert (batch.shape, batch.dtype) == ((2, 3, 32, 64), np.float32)
    image = cv2.imread(str(tmp_path / "images" / "train" / "000.png"))[..., ::-1] / 255
    # 64 px in a frame 32 px high: half the size in the middle, grey at both sides.
    np.testing.assert_allclose(batch[0][:, :, :16], 114 / 255, atol=1e-3)
    np.testing.assert_allclose(batch[0][:, :, 16:48].mean(), image.mean(), atol=0.02)


@needs_onnx
def test_the_convolutions_before_the_output_are_found():
    import onnx

    make = onnx.helper.make_node
    nodes = [
        make("Conv", ["images", "w"], ["a"], "first"),
        make("Relu", ["a"], ["b"], "relu"),
        make("Conv", ["b", "w"], ["c"], "left"),
        make("Conv", ["b", "w"], ["d"], "right"),
        make("Concat", ["c", "d"], ["output0"], "join", axis=1),
    ]
    value = onnx.helper.make_tensor_value_info("output0", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "graph", [], [value])
    assert sorted(last_convolutions(graph)) == ["left", "right"]


@needs_onnx
@pytest.mark.slow
def test_a_file_in_eight_bits_is_near_the_model(model, tmp_path, capsys):
    data = write_data(tmp_path, train=6, val=1)
    config = ExportConfig(include=("onnx",), imgsz=(64,), int8=True, data=str(data))
    (path,) = export.export(model, config, tmp_path / "best.pt")
    assert path.name == "best_int8.onnx"
    assert "onnx: differs from the model by" in capsys.readouterr().out
    image = cv2.imread(str(tmp_path / "images" / "train" / "000.png"))
    images = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        ours = model(images)[0]
    theirs = load_exported(path, torch.device("cpu"))(images)[0]
    first = model.family.box_columns
    assert (theirs - ours).abs().max() > 0  # it is in eight bits at all
    torch.testing.assert_close(theirs[..., first:], ours[..., first:], rtol=0, atol=0.15)
    inside = (ours[..., :4] - theirs[..., :4]).abs().mean() / ours[..., :4].abs().mean()
    assert inside < 0.05
