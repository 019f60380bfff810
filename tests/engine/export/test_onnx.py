"""ONNX files compute what the model computes; missing packages and operator sets in one line."""

from __future__ import annotations

import builtins
import contextlib
import copy
import io
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml

import export
from engine.export.onnx import compare_with_onnxruntime
from engine.export.settings import ExportConfig
from models.yolo import DetectionModel
from tests.engine.export.detectors import NAMES, detector, expected, noise, suppressed
from tests.tiny import GRAPH, write_graph
from utils.errors import UserError

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")),
    reason="onnx, onnxscript and onnxruntime are not installed",
)


def write_few_rows(folder: Path) -> Path:
    """Three convolutions and a head, fewer than the tiny graph has, so that it is soon exported."""
    rows = [[-1, 1, "Conv", [8, 3, stride]] for stride in (4, 2, 2)]
    path = folder / "few.yaml"
    path.write_text(
        yaml.safe_dump({**GRAPH, "backbone": rows, "head": [[[1, 2], *GRAPH["head"][0][1:]]]})
    )
    return path


def run_onnx(path: Path, images: torch.Tensor) -> tuple[torch.Tensor, object]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    assert [value.name for value in session.get_inputs()] == ["images"]
    assert [value.name for value in session.get_outputs()] == ["output0"]
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0]), session


def in_each_run(family: str) -> pytest.MarkDecorator:
    """Export the graph of one family in each run of the tests, and the other's under -m slow."""
    other = {"anchors": "free", "free": "anchors"}[family]
    cases = [family, pytest.param(other, marks=pytest.mark.slow)]
    return pytest.mark.parametrize("model", cases, indirect=True)


PLAIN = ExportConfig(include=("onnx",), imgsz=(64, 96), batch_size=2)


@pytest.fixture(scope="module")
def written(model: DetectionModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The ONNX file of a model, and what was said while it was written."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        (path,) = export.export(model, PLAIN, tmp_path_factory.mktemp("plain") / "best.pt")
    return path, said.getvalue()


@needs_onnx
def test_onnx_gives_what_the_model_gives(model, written):
    path, said = written
    images = noise(2, 3, 64, 96)
    found, session = run_onnx(path, images)
    assert found.shape == ((2, 360, 7) if model.family.has_objectness else (2, 6, 120))
    torch.testing.assert_close(found, expected(model, images), rtol=1e-4, atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["names"] == str(NAMES)
    assert metadata["stride"] == "16"
    assert [file.name for file in path.parent.iterdir()] == ["best.onnx"]
    assert "differs from the model by" in said


@needs_onnx
@in_each_run("free")
def test_dynamic_onnx_takes_other_batches_and_sizes(model, tmp_path):
    config = ExportConfig(include=("onnx",), imgsz=(96,), dynamic=True)
    (path,) = export.export(model, config, tmp_path / "best.pt")
    for shape in ((1, 3, 96, 96), (3, 3, 64, 160)):
        images = noise(*shape)
        found, session = run_onnx(path, images)
        torch.testing.assert_close(found, expected(model, images), rtol=1e-4, atol=1e-4)
    assert session.get_inputs()[0].shape == ["batch", 3, "height", "width"]


@needs_onnx
@in_each_run("free")
def test_onnx_with_suppression(model, tmp_path):
    config = ExportConfig(
        include=("onnx",), imgsz=(96,), nms=True, conf_thres=0.05, iou_thres=0.5, max_det=12
    )
    (path,) = export.export(model, config, tmp_path / "best.pt")
    images = noise(1, 3, 96, 96)
    found, _ = run_onnx(path, images)
    assert found.shape == (1, 12, 6)
    wanted = suppressed(model, images, 12)
    torch.testing.assert_close(found[0, : len(wanted)], wanted, rtol=1e-3, atol=1e-3)
    assert not found[0, len(wanted) :].any()


@needs_onnx
def test_a_comparison_of_nothing_with_nothing_is_not_called_one(tmp_path, capsys):
    model = detector(write_few_rows(tmp_path))
    config = ExportConfig(include=("onnx",), imgsz=(64,), nms=True, conf_thres=1.0)
    export.export(model, config, tmp_path / "best.pt")
    said = capsys.readouterr().out
    assert "onnx: not compared with the model" in said
    assert "differs" not in said


@needs_onnx
@in_each_run("anchors")
def test_half_precision_onnx(model, tmp_path):
    config = ExportConfig(include=("onnx",), imgsz=(64,), half=True)
    (path,) = export.export(model, config, tmp_path / "best.pt")
    images = noise(1, 3, 64, 64)
    found, session = run_onnx(path, images.half())
    assert session.get_inputs()[0].type == "tensor(float16)"
    torch.testing.assert_close(found.float(), expected(model, images), rtol=0.05, atol=0.5)


def test_missing_packages_are_one_line_with_the_remedy(tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] in ("onnx", "onnxscript"):
            raise ImportError(f"No module named '{name}'")
        return imported(name, *rest)

    def refuse(*_args, **_options):
        without("onnxscript")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    model = detector(write_graph(tmp_path))
    with pytest.raises(UserError, match="pip install onnx onnxscript"):
        export.export(model, ExportConfig(include=("onnx",), imgsz=(64,)), tmp_path / "best.pt")
    assert not list(tmp_path.glob("*.onnx"))


@needs_onnx
def test_an_operator_set_that_the_exporter_does_not_write_is_told(tmp_path: Path) -> None:
    file = detector(write_few_rows(tmp_path))
    with pytest.raises(UserError, match="--opset=99: PyTorch's exporter writes"):
        export.export(
            file, ExportConfig(include=("onnx",), imgsz=(64,), opset=99), tmp_path / "best.pt"
        )


@needs_onnx
def test_a_file_that_computes_something_else_is_refused(model, written):
    path, _ = written
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.head.parameters():
            if value.requires_grad:
                value += 0.5
    task = export.make_task(other, PLAIN, path.with_suffix(".pt"))
    with pytest.raises(UserError, match="the file's output differs by"):
        compare_with_onnxruntime(task, path.read_bytes())
