"""OpenVINO folders; the package is optional, and these tests are skipped without it."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest
import torch

from engine.exported.load import load_exported
from engine.exported.openvino import open_openvino
from engine.openvino_core import shared_core
from tests.engine.exported.files import FACTS, NAMES, V5_ROWS, write_onnx
from utils.errors import UserError
from utils.files import save_yaml

CPU = torch.device("cpu")


def write_openvino(folder: Path) -> Path:
    openvino = pytest.importorskip("openvino")
    folder.mkdir()
    model = shared_core().read_model(write_onnx(folder.parent / "best.onnx"))
    openvino.save_model(model, folder / "best.xml", compress_to_fp16=False)
    save_yaml(folder / "metadata.yaml", FACTS | {"names": NAMES})
    return folder


def test_a_folder_or_its_xml_is_a_detector(tmp_path):
    folder = write_openvino(tmp_path / "best_openvino_model")
    for path in (folder, folder / "best.xml"):
        model = load_exported(path, CPU)
        assert (model.names, model.fixed_size) == (NAMES, None)
        decoded, _ = model(torch.full((2, 3, 64, 96), 0.5))
        torch.testing.assert_close(decoded[1], torch.from_numpy(V5_ROWS) + 0.5)


def test_damaged_and_ambiguous_folders_are_one_line(tmp_path):
    folder = write_openvino(tmp_path / "best_openvino_model")
    (folder / "other.xml").write_text("<net/>")
    with pytest.raises(UserError, match=r"has 2 \.xml files"):
        open_openvino(folder, CPU)
    (folder / "best.xml").write_text("<net")
    with pytest.raises(UserError, match="cannot be opened by OpenVINO"):
        open_openvino(folder / "best.xml", CPU)


def test_without_openvino_the_line_says_how_to_install_it(tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name == "openvino":
            raise ImportError(name)
        return imported(name, *rest)

    # What is remembered of an earlier test needs no import any more.
    monkeypatch.setattr("engine.exported.openvino.shared_core", shared_core.__wrapped__)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install openvino"):
        open_openvino(tmp_path / "best_openvino_model", CPU)
