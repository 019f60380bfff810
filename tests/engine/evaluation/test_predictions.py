"""Files of predictions in the formats of YOLOv5 and COCO."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation.predictions import (
    COCO_CATEGORIES,
    coco_records,
    file_stems,
    image_id,
    image_ids,
    prediction_lines,
    save_json,
    save_labels,
)

ROWS = np.array([[10, 20, 30, 60, 0.9, 2], [0, 0, 200, 100, 0.123456789, 0]], dtype=np.float32)


def test_prediction_lines_are_shares_in_the_order_given() -> None:
    assert prediction_lines(ROWS, (100, 200), with_score=False) == [
        "2 0.1 0.4 0.1 0.4",
        "0 0.5 0.5 1 1",
    ]
    assert prediction_lines(ROWS, (100, 200), with_score=True) == [
        "2 0.1 0.4 0.1 0.4 0.9",
        "0 0.5 0.5 1 1 0.123457",
    ]


def test_save_labels_without_detections_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    save_labels(path, ROWS, (100, 200), with_score=False)
    assert path.read_text() == "2 0.1 0.4 0.1 0.4\n0 0.5 0.5 1 1\n"
    save_labels(path, ROWS[:0], (100, 200), with_score=False)
    assert not path.exists()


@pytest.mark.parametrize(
    ("stem", "number"), [("0000042", 42), ("7", 7), ("img_7", "img_7"), ("²", "²"), ("-1", "-1")]
)
def test_image_id(stem: str, number: int | str) -> None:
    assert image_id(stem) == number


def test_coco_records_are_rounded_left_top_width_height(tmp_path: Path) -> None:
    rows = np.array([[1.23456, 2, 11.23456, 5, 0.1234567, 1]])
    records = coco_records(rows, image_id("000042"))
    assert records == [
        {"image_id": 42, "category_id": 1, "bbox": [1.235, 2.0, 10.0, 3.0], "score": 0.12346}
    ]
    save_json(tmp_path / "p.json", records)
    assert json.loads((tmp_path / "p.json").read_text()) == records


def test_stems_that_are_one_number_stay_texts() -> None:
    assert image_ids(["7", "0012", "a"]) == [7, 12, "a"]
    assert image_ids(["7", "12", "0012"]) == ["7", "12", "0012"]


def test_coco_category_numbers() -> None:
    assert len(COCO_CATEGORIES) == 80
    assert (COCO_CATEGORIES[0], COCO_CATEGORIES[11], COCO_CATEGORIES[79]) == (1, 13, 90)
    assert coco_records(ROWS, "a", COCO_CATEGORIES)[0]["category_id"] == 3


def test_equal_stems_do_not_share_a_file() -> None:
    stems = file_stems(["/a/1.jpg", "/b/1.jpg", "/b/1.png", "/b/2.jpg"])
    assert stems[:2] == ["1", "b_1"]
    assert len(set(stems)) == 4
