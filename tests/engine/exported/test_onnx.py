"""ONNX files: damaged ones, and a missing package, are one line."""

from __future__ import annotations

import builtins

import pytest
import torch

from engine.exported.onnx import open_onnx
from tests.engine.exported.files import FACTS, write_onnx
from utils.errors import UserError

CPU = torch.device("cpu")


def test_a_file_says_what_it_takes(tmp_path):
    runtime = open_onnx(write_onnx(tmp_path / "a.onnx"), CPU)
    assert runtime.shape == (None, 3, None, None)
    assert runtime.metadata == FACTS


def test_a_damaged_file_is_one_line(tmp_path):
    path = write_onnx(tmp_path / "a.onnx")
    path.write_bytes(path.read_bytes()[:-40] + b"\x00" * 40)
    with pytest.raises(UserError, match="cannot be opened by ONNX Runtime"):
        open_onnx(path, CPU)


def test_a_fault_while_it_runs_is_one_line(tmp_path):
    runtime = open_onnx(write_onnx(tmp_path / "a.onnx"), CPU)
    with pytest.raises(UserError, match="cannot be run by ONNX Runtime"):
        runtime.run(torch.zeros(1, 2, 8, 8))


def test_without_onnxruntime_the_line_says_how_to_install_it(tmp_path, monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.startswith("onnxruntime"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="pip install onnxruntime"):
        open_onnx(tmp_path / "a.onnx", CPU)
