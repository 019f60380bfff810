"""Files of detections: only those that were requested, under names that differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.outputs import ResultFiles
from utils.errors import UserError

PATHS = ["/a/7.jpg", "/b/7.jpg"]
SIZES = [(100, 200), (100, 100)]
DETECTIONS = [np.array([[10, 20, 30, 60, 0.9, 1.0]]), np.zeros((0, 6))]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (ResultFiles(), []),
        (ResultFiles(labels=True), ["labels", "labels/7.txt"]),
        (ResultFiles(json_name="found.json"), ["found.json"]),
    ],
)
def test_only_requested_files_are_written(
    files: ResultFiles, wanted: list[str], tmp_path: Path
) -> None:
    files.write(tmp_path, PATHS, DETECTIONS, SIZES)
    written = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert written == wanted


def test_coco_category_numbers_are_written_on_request(tmp_path: Path) -> None:
    for coco_categories, number in ((False, 1), (True, 2)):
        files = ResultFiles(json_name="found.json", coco_categories=coco_categories)
        files.write(tmp_path, PATHS, DETECTIONS, SIZES)
        records = json.loads((tmp_path / "found.json").read_text())
        assert [(row["image_id"], row["category_id"]) for row in records] == [(7, number)]


def test_confidences_are_written_on_request(tmp_path: Path) -> None:
    ResultFiles(labels=True, confidences=True).write(tmp_path, PATHS, DETECTIONS, SIZES)
    assert (tmp_path / "labels/7.txt").read_text() == "1 0.1 0.4 0.1 0.4 0.9\n"


def test_a_label_file_that_cannot_be_written_is_named_and_the_others_go_on(tmp_path):
    files = ResultFiles(labels=True)
    rows = np.array([[1.0, 2, 30, 40, 0.5, 0]])
    paths = ["a.jpg", "x" * 252 + ".j", "b.jpg", "y" * 253 + ".j"]
    files.write(tmp_path, paths, [rows, rows, rows, rows[:0]], [(50, 50)] * 4)
    assert {file.name for file in (tmp_path / "labels").iterdir()} == {"a.txt", "b.txt"}
    with pytest.raises(UserError, match=r"1 file is missing.*File name too long"):
        files.unwritten.report()
