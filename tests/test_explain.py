"""explain.py as a command: figures of one model and of two side by side, mistakes in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import explain
from tests.tiny import write_free_graph, write_graph
from utils.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    import cv2

    noise = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "one.png"), noise.integers(0, 255, (40, 60, 3), np.uint8))
    return tmp_path


def run(folder: Path, *words: object) -> Path:
    fixed = ["--source", folder / "images", "--imgsz", 64, "--conf", 0.00001, "--device", "cpu"]
    return explain.main([str(word) for word in (*fixed, "--project", folder / "runs", *words)])


def test_two_models_are_explained_side_by_side(folder: Path, capsys) -> None:
    weights = write_graph(folder), write_free_graph(folder)
    out = run(folder, "--weights", *weights, "--max-det", 1, "--layers", 2, 4)
    assert out == folder / "runs" / "exp"
    assert sorted(path.name for path in out.iterdir()) == ["one.pdf", "one.png"]
    assert (out / "one.pdf").read_bytes().startswith(b"%PDF")
    assert (out / "one.png").stat().st_size > 10_000
    assert "image 1/1" in capsys.readouterr().out


def test_mistakes_are_told(folder: Path) -> None:
    tiny = write_graph(folder)
    with pytest.raises(UserError, match="--classes 2: the model's classes are numbered 0 to 1"):
        run(folder, "--weights", tiny, "--classes", 2)
    with pytest.raises(UserError, match="--layers 6: must be a row before the head"):
        run(folder, "--weights", tiny, "--layers", 6)
    other = folder / "other.yaml"
    other.write_text(tiny.read_text().replace("nc: 2", "nc: 3"))
    with pytest.raises(UserError, match="other has other classes than tiny"):
        run(folder, "--weights", tiny, other)
    with pytest.raises(UserError, match=r"best\.onnx: is an exported file"):
        run(folder, "--weights", tiny, "best.onnx")
