"""Graphs with each attention module of the library as files of every format."""

from __future__ import annotations

import copy
import dataclasses
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml

import export
from engine.export.formats import EXPORTERS
from engine.export.onnx import compare_with_onnxruntime, trace_onnx, traced_images
from engine.export.settings import ExportConfig
from engine.exported.load import load_exported
from models.attention._registry import ATTENTION
from models.yolo import DetectionModel
from tests.engine.export.detectors import detector, noise
from tests.tiny import GRAPH, write_graph
from utils.errors import UserError

NAMES = sorted({kind.__name__ for kind in ATTENTION.values()})
FIXED_IN_OPENVINO = {"FCA"}  # 2026.4 cannot compile its products of matrices of unknown size
needs_all = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime", "openvino")),
    reason="not all of onnx, onnxscript, onnxruntime and openvino are installed",
)


def detector_with(name: str, folder: Path) -> DetectionModel:
    """The tiny detector with another attention module in place of its own.

    All numbers of the module are moved from their start, at which some modules change nothing.
    """
    graph = copy.deepcopy(GRAPH)
    graph["backbone"][4] = [-1, 1, name, []]
    path = folder / f"tiny_{name}.yaml"
    path.write_text(yaml.safe_dump(graph))
    model = detector(path)
    with torch.no_grad():
        for value in model.model[4].state_dict().values():
            if value.is_floating_point():
                value.add_(
                    0.1 * torch.rand(value.shape, generator=torch.Generator().manual_seed(2))
                )
    return model


@pytest.mark.slow
@needs_all
@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_graph_with_the_module_computes_the_same(
    name: str, dynamic: bool, tmp_path: Path
) -> None:
    """export() itself refuses a file whose output for noise differs; this looks at other noise."""
    model = detector_with(name, tmp_path)
    formats = tuple(EXPORTERS)
    if dynamic:
        formats = ("onnx",) if name in FIXED_IN_OPENVINO else ("onnx", "openvino")
    config = ExportConfig(include=formats, imgsz=(64, 96), dynamic=dynamic)
    images = noise(3, 3, 160, 96) if dynamic else noise(1, 3, 64, 96)
    with torch.no_grad():
        wanted = model(images)[0]
    for path in export.export(model, config, tmp_path / "best.pt"):
        found = load_exported(path, torch.device("cpu"))(images)[0]
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_graph_that_the_exporter_cannot_write_is_one_line(tmp_path, monkeypatch):
    def refuse(*_args: object, **_options: object) -> None:
        raise torch.onnx.OnnxExporterError("no such operator\nand a long report")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    model = detector(write_graph(tmp_path))
    task = export.make_task(model, ExportConfig(imgsz=(64,), dynamic=True), tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"\(no such operator\); leave --dynamic out"):
        trace_onnx(task)


def test_a_dynamic_graph_is_traced_on_maps_of_several_windows(tmp_path):
    model = detector(write_graph(tmp_path))
    task = export.make_task(model, ExportConfig(imgsz=(64, 96), dynamic=True), tmp_path / "best.pt")
    stride = int(model.stride.max())
    assert traced_images(task).shape == (2, 3, 16 * stride, 16 * stride)
    large = dataclasses.replace(task, images=torch.zeros(2, 3, 32, 20 * stride))
    assert traced_images(large).shape == (2, 3, 16 * stride, 20 * stride)


def test_a_file_that_its_library_cannot_run_is_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    model = detector(write_graph(tmp_path))
    task = export.make_task(model, ExportConfig(imgsz=(64,)), tmp_path / "best.pt")
    with pytest.raises(UserError, match=r"onnx: ONNX Runtime cannot run .*use another") as error:
        compare_with_onnxruntime(task, b"no graph")
    assert "\n" not in str(error.value)
