"""Exported files made by hand, within milliseconds, for the tests of what reads them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

NAMES = {0: "red", 1: "green"}
V5_ROWS = np.array(  # x, y, w, h, objectness, two scores: a box of each class, and none
    [[32, 32, 20, 30, 0.9, 1, 0], [70, 40, 10, 10, 0.8, 0, 1], *[[0] * 7] * 8], np.float32
)
V8_ROWS = np.delete(V5_ROWS, 4, 1).T.copy()  # the same without objectness, boxes in columns
FREE = ("batch", 3, "height", "width")
FACTS = {"names": str(NAMES), "stride": "32", "imgsz": "[96, 96]", "batch": "1", "task": "detect"}


def write_onnx(
    path: Path,
    rows: np.ndarray = V5_ROWS,
    shape: tuple[object, ...] = FREE,
    metadata: Mapping[str, str] | None = None,
    half: bool = False,
) -> Path:
    """A file whose output is [B, *rows.shape]: the rows, to which each image's mean is added."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    constants = {
        "axes": np.array([1, 2, 3]), "shape": np.array([-1, 1, 1]),
        "rows": rows.astype(np.float16 if half else np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=0),
        helper.make_node("Reshape", ["mean", "shape"], ["column"]),
        helper.make_node("Add", ["column", "rows"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", kind, shape)],
        [helper.make_tensor_value_info("output0", kind, (shape[0], *rows.shape))],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(FACTS if metadata is None else metadata))
    path.write_bytes(model.SerializeToString())
    return path


class Rows(nn.Module):
    """The same network in PyTorch."""

    def __init__(self, rows: np.ndarray = V5_ROWS) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.from_numpy(rows))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.rows + images.mean((1, 2, 3))[:, None, None]


def write_torchscript(
    path: Path, module: nn.Module | None = None, metadata: object = None, batch: int = 1
) -> Path:
    """A TorchScript file for images of 96 px, with this config.txt."""
    config = {**FACTS, "batch": batch} if metadata is None else metadata
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = torch.zeros(batch, 3, 96, 96)
        network = module if isinstance(module, torch.jit.ScriptModule) else module or Rows()
        traced = (
            network
            if isinstance(network, torch.jit.ScriptModule)
            else torch.jit.trace(network, images, check_trace=False)
        )
        torch.jit.save(traced, str(path), _extra_files={"config.txt": json.dumps(config)})
    return path
