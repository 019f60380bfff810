"""OpenVINO folders compute what the model computes; the package is optional."""

from __future__ import annotations

import builtins
from importlib.util import find_spec

import pytest
import torch

import export
from engine.export.settings import ExportConfig
from engine.exported.load import load_exported
from tests.engine.export.detectors import NAMES, detector, noise
from tests.tiny import write_graph
from utils.errors import UserError

needs_openvino = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "openvino")),
    reason="onnx, onnxscript and openvino are not installed",
)


@needs_openvino
@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True])
def test_a_folder_gives_what_the_model_gives(model, dynamic, tmp_path, capsys):
    config = ExportConfig(include=("openvino",), imgsz=(64, 96), dynamic=dynamic)
    (folder,) = export.export(model, config, tmp_path / "best.pt")
    assert sorted(file.name for file in folder.iterdir()) == [
        "best.bin",
        "best.xml",
        "metadata.yaml",
    ]
    loaded = load_exported(folder, torch.device("cpu"))
    assert (loaded.names, loaded.family) == (NAMES, model.family)
    assert loaded.fixed_size == (None if dynamic else (64, 96))
    images = noise(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded(images)[0], model(images)[0], rtol=1e-4, atol=1e-4)
    assert "openvino: differs from the model by" in capsys.readouterr().out


@needs_openvino
@pytest.mark.slow
def test_half_precision_makes_the_folder_smaller(tmp_path):
    model = detector(write_graph(tmp_path))
    sizes = []
    for half in (False, True):
        config = ExportConfig(include=("openvino",), imgsz=(64,), half=half)
        (folder,) = export.export(model, config, tmp_path / f"{half}.pt")
        sizes.append((folder / f"{half}.bin").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]


def test_without_openvino_the_line_says_how_to_install_it(tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name == "openvino":
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    config = ExportConfig(include=("openvino",), imgsz=(64,))
    with pytest.raises(UserError, match="pip install openvino"):
        export.export(detector(write_graph(tmp_path)), config, tmp_path / "best.pt")
