"""val.py scores exported files; a wrong size or a data set that is not named is one line."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import val
from engine.exported.load import OPENERS
from engine.exported.onnx import open_onnx
from engine.exported.runtime import Runtime
from tests.engine.exported.files import FACTS, FREE, V5_ROWS, V8_ROWS, write_onnx
from utils.errors import run_main
from utils.files import save_yaml


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three black images, whose first has the two objects that the files always find."""
    root = tmp_path_factory.mktemp("set")
    for kind in ("images", "labels"):
        (root / kind).mkdir()
    boxes = [(kind, *(row[:4] / 96)) for kind, row in enumerate(V5_ROWS[:2])]
    text = "\n".join(" ".join(map(str, box)) for box in boxes)
    for number in range(3):
        cv2.imwrite(str(root / "images" / f"{number}.png"), np.zeros((96, 96, 3), np.uint8))
        (root / "labels" / f"{number}.txt").write_text(text if number == 0 else "")
    save_yaml(
        root / "set.yaml",
        {"path": str(root), "train": "images", "val": "images", "names": ["red", "green"]},
    )
    return root / "set.yaml"


def flags(weights: Path, data: Path, *more: str) -> list[str]:
    words = f"--weights {weights} --data {data} --project {weights.parent / 'val'} --noplots"
    return [*words.split(), "--device", "cpu", "--workers", "0", *more]


@pytest.mark.parametrize("rows", [V5_ROWS, V8_ROWS])
@pytest.mark.parametrize("batch", [1, 2])
def test_a_file_is_scored_with_its_own_size_and_batch(tmp_path, data, rows, batch):
    path = write_onnx(tmp_path / "best.onnx", rows, (batch, 3, 96, 96))
    metrics = val.main(flags(path, data))
    # Each object is found on three images and stands on one: a precision of a third throughout,
    # apart from the order of equal confidences.
    assert metrics.details.input_shape == (3, 3, 96, 96)
    assert metrics.recall == pytest.approx(1)
    assert metrics.map == pytest.approx(metrics.map50)
    assert metrics.map > 0.3


def test_a_file_is_opened_once(tmp_path, data, monkeypatch):
    opened: list[Path] = []

    def counted(path: Path, device: torch.device) -> Runtime:
        opened.append(path)
        return open_onnx(path, device)

    monkeypatch.setitem(OPENERS, ".onnx", counted)
    path = write_onnx(tmp_path / "best.onnx", shape=(1, 3, 96, 96))
    val.main(flags(path, data))
    assert opened == [path]


def test_a_file_with_suppression_is_scored_with_a_note(tmp_path, data, capsys):
    found = np.zeros((5, 6), np.float32)
    for place, row in enumerate(V5_ROWS[:2]):
        corners = (*(row[:2] - row[2:4] / 2), *(row[:2] + row[2:4] / 2))
        found[place] = (*corners, row[4], place)
    facts = {**FACTS, "nms": "True", "family": "v8"}
    path = write_onnx(tmp_path / "best.onnx", found, (1, 3, 96, 96), facts)
    metrics = val.main(flags(path, data))
    assert metrics.recall == pytest.approx(1)
    assert any("suppression with thresholds of its own" in note for note in metrics.notes)


@pytest.mark.parametrize(
    ("shape", "more", "words"),
    [
        ((1, 3, 96, 96), ("--imgsz", "64"), "takes images of 96x96 only"),
        ((1, 3, 64, 96), (), "scores are measured on square ones"),
        (FREE, ("--augment",), "--augment: "),
        (FREE, ("--attention", "SimAM@neck"), "graph cannot be changed"),
        (FREE, ("--data", ""), "does not name its data set"),
    ],
)
def test_mistakes_are_one_line(tmp_path, data, shape, more, words, capsys):
    path = write_onnx(tmp_path / "best.onnx", shape=shape)
    assert run_main(functools.partial(val.main), flags(path, data, *more)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
