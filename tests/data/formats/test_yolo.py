"""data/formats/yolo.py: golden label checks of YOLOv5, and what a damaged label file does."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.labels import LabelError
from data.formats.yolo import YOLO_FORMAT, label_path, read_labels
from data.formats.yolo_rows import parse_rows
from data.report import DROPPED, KEPT_AS_IS

GOLDEN = Path(__file__).parents[2] / "golden" / "yolov5" / "dataset.json.gz"
CHECKS: dict[str, Any] = json.loads(gzip.decompress(GOLDEN.read_bytes()))
TEXTS = {name: case for name, case in CHECKS["label_checks"].items() if "text" in case}


@pytest.mark.parametrize("name", TEXTS)
def test_golden_label_checks(name: str) -> None:
    case = TEXTS[name]
    if name == "over1":  # 1.01, which YOLOv5 refuses and Ultralytics tolerates
        assert parse_rows(case["text"].encode()).values.tolist()[0][2] == 1
        return
    if not case["kept"]:
        with pytest.raises(LabelError):
            parse_rows(case["text"].encode())
        return
    rows = parse_rows(case["text"].encode())
    np.testing.assert_allclose(rows.values, np.array(case["labels"]).reshape(-1, 5), atol=1e-7)
    assert len(rows.segments) == case["nseg"]
    assert bool(rows.repeated) == ("duplicate" in case["msg"])


@pytest.mark.parametrize(("image", "label"), CHECKS["img2label"])
def test_golden_label_path(image: str, label: str) -> None:
    assert label_path(image) == label


@pytest.mark.parametrize(
    ("data", "row", "text"),
    [
        (b"0 .5 .5 .2 .2\n0 .5 .5 .2 .2 .9\n", 2, "6, but"),
        (b"0 .5 .5 .2 .2\n\n0 .5 nan .2 .2\n", 3, "NaN: y"),
        (b"0 .5 .5 -.2 .2\n", 1, "negative value: width -0.2"),
        (b"0 320 240 64 48\n", 1, "above 1: x 320"),
        (b"0 1e308 .5 .2 .2\n", 1, "above 1: x inf"),
        (b"0 .5 .5 .2 zwei\n", 1, "'zwei'"),
        (b"0 .5 .5\xff .2 .2\n", 1, "0xff"),
        (b"\xff\xfe0\x00 ", 1, "not UTF-16"),
        (b"0 .1 .1 .4 .1 .4 .5 .1\n", 1, "in pairs"),
        (b"0 .1 .1 .4 .1 .4 .5\n3\n", 2, "in pairs"),
        (b"\x00\x01\x02", 1, "not a number"),
    ],
)
def test_refusal_names_row_and_value(data: bytes, row: int, text: str) -> None:
    with pytest.raises(LabelError, match=text) as caught:
        parse_rows(data)
    assert caught.value.row == row


def test_byte_order_mark_and_line_ends_are_read() -> None:
    rows = parse_rows(b"\xef\xbb\xbf0 .5 .5 .2 .2\r\n1 .4 .4 .1 .1")
    assert rows.values[:, 0].tolist() == [0, 1]


def test_pixels_and_entries(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("1.5 .5 .5 .2 .4\n0 .1 .1 0 0\n0 .1 .1 0 0\n")
    labels = read_labels(file, (200, 100))
    assert labels.boxes.dtype == np.float32
    np.testing.assert_allclose(labels.boxes, [[10, 20, 10, 20], [40, 60, 60, 140]], atol=1e-4)
    assert labels.classes.tolist() == [0, 1]
    assert [(entry.action, entry.row) for entry in labels.entries] == [
        (DROPPED, 3),
        (KEPT_AS_IS, 2),
        (KEPT_AS_IS, 1),
    ]


def test_polygons_become_pixels(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("0 .1 .1 .4 .1 .4 .5 .1 .5\n")
    labels = read_labels(file, (200, 100))
    np.testing.assert_allclose(
        labels.segments[0], [[10, 20], [40, 20], [40, 100], [10, 100]], atol=1e-4
    )
    np.testing.assert_allclose(labels.boxes, [[10, 20, 40, 100]], atol=1e-4)


def test_missing_is_background_and_huge_class_fits(tmp_path: Path) -> None:
    assert not read_labels(tmp_path / "none.txt", (10, 10)).there
    (tmp_path / "a.txt").write_text("1e30 .5 .5 .2 .2\n")
    assert read_labels(tmp_path / "a.txt", (10, 10)).classes.tolist() == [2**31 - 1]
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(LabelError, match="unreadable"):
        read_labels(tmp_path / "folder.txt", (10, 10))


def test_keypoints_behind_a_box_are_not_taken_for_a_polygon() -> None:
    row = b"0 .5 .5 .2 .4 " + b".1 .1 1 " * 3
    assert parse_rows(row[:-2] + b"1", 9).values.tolist() == parse_rows(row[:14]).values.tolist()
    assert not parse_rows(row, 9).segments
    with pytest.raises(LabelError, match="kpt_shape"):
        parse_rows(row)


def test_a_label_file_that_two_images_share_is_named(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "b.png"):
        (tmp_path / name).write_bytes(b"")
    info = DatasetInfo(tmp_path, tmp_path, (tmp_path,), {0: "a"})
    entries = YOLO_FORMAT.list_split(info, (SplitSource("."),)).open().entries
    assert [entry.reason for entry in entries] == ["label file of several images: a.jpg, a.png"]
    assert entries[0].file.endswith("a.txt")
