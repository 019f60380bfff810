"""data/formats/coco.py: instances files, matched by name; polygons of several parts; wrong
annotations.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data.formats.coco import CocoReader
from data.formats.coco_json import join_parts, read_coco
from data.formats.labels import LabelError
from utils.errors import UserError


def _annotation(image: Any, category: Any, box: Any, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": box, **more}


def _write(folder: Path, annotations: list[Any], **more: Any) -> Path:
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": annotations,
        **more,
    }
    (folder / "x.json").write_text(json.dumps(content))
    return folder / "x.json"


NAMES = {"cat": 0, "dog": 1}


def test_boxes_classes_by_name_and_what_is_dropped(tmp_path: Path) -> None:
    file = read_coco(_write(tmp_path, [
        _annotation(9, 18, [10.5, 20, 30, 40]),
        _annotation(9, 1, [-5, 90, 20, 20]),
        _annotation(9, 1, [5, 5, 0, 3]),
        _annotation(9, 3, [5, 5, 2, 3]),
        _annotation(9, 1, [5, 5, 9, 9], iscrowd=1),
        _annotation(8, 1, [5, 5, 9, 9]),
        {"id": 3},
    ]))  # fmt: skip
    reader = CocoReader([file], NAMES)
    labels = reader.read(1, (100, 200))
    np.testing.assert_allclose(labels.boxes, [[10.5, 20, 40.5, 60], [0, 90, 15, 100]])
    assert labels.classes.tolist() == [1, 0]
    assert labels.segments == ()
    assert [(entry.row, entry.kind.split()[0]) for entry in labels.entries] == [
        (3, "box"),
        (4, "class"),
        (5, "crowd"),
    ]
    np.testing.assert_allclose(labels.ignored, [[0, 5, 5, 14, 14, 1]])
    assert [(entry.row, entry.kind.split()[0]) for entry in file.entries] == [
        (6, "annotation"),
        (7, "annotation"),
    ]
    assert len(reader.read(0, (100, 200)).classes) == 0


def test_polygons_of_parts_draw_their_union() -> None:
    parts = [
        [5, 5, 25, 5, 25, 25, 5, 25],
        [40, 5, 60, 5, 60, 25, 40, 25],
        [20, 40, 45, 40, 45, 60, 20, 60],
    ]
    path = join_parts(parts)
    assert path is not None
    expected, drawn = np.zeros((70, 70), np.uint8), np.zeros((70, 70), np.uint8)
    for part in parts:
        cv2.fillPoly(expected, [np.array(part, np.int32).reshape(-1, 2)], 1)
    cv2.fillPoly(drawn, [path.astype(np.int32)], 1)
    assert np.array_equal(expected & drawn, expected)
    bridges = 3 * 70  # the bridges themselves are lines of a pixel's width
    assert drawn.sum() - expected.sum() < bridges
    x, y = path.T.astype(float)
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert area == pytest.approx(20 * 20 + 20 * 20 + 25 * 20)


@pytest.mark.parametrize(
    "parts", [None, [], {"counts": [1], "size": [2, 2]}, [[1, 2, 3]], [["a", "b"]], [[1, 2, 3, 4]]]
)
def test_what_is_no_polygon(parts: Any) -> None:
    assert join_parts(parts) is None


def test_a_box_without_polygon_among_others_gets_its_corners(tmp_path: Path) -> None:
    triangle = _annotation(7, 1, [0, 0, 9, 9], segmentation=[[0, 0, 9, 0, 9, 9]])
    file = read_coco(_write(tmp_path, [triangle, _annotation(7, 1, [1, 2, 3, 4])]))
    labels = CocoReader([file], NAMES).read(0, (100, 200))
    assert labels.segments[0].tolist() == [[0, 0], [9, 0], [9, 9]]
    assert labels.segments[1].tolist() == [[1, 2], [4, 2], [4, 6], [1, 6]]


@pytest.mark.parametrize(
    "box", [[1, 2, 3], "box", [1, 2, 3, "4"], [1, 2, float("nan"), 4], [1, 2, 3, 10**400], None]
)
def test_a_wrong_box_costs_its_image_only(tmp_path: Path, box: Any) -> None:
    file = read_coco(_write(tmp_path, [_annotation(7, 1, box), _annotation(9, 1, [1, 2, 3, 4])]))
    reader = CocoReader([file], NAMES)
    with pytest.raises(LabelError):
        reader.read(0, (100, 200))
    assert len(reader.read(1, (100, 200)).classes) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"images": None}, "no list `images`"),
        ({"images": [{"id": 1}]}, "images entry 1 needs"),
        ({"images": [{"id": [1], "file_name": "a"}]}, "images entry 1 needs"),
        ({"images": [{"id": 1, "file_name": "a/" * 9000}]}, "images entry 1 needs"),
        ({"images": [{"id": True, "file_name": "a"}]}, "images entry 1 needs"),
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "share their id"),
        ({"categories": [{"name": "cat"}]}, "categories entry 1 needs"),
    ],
)
def test_a_file_that_is_no_instances_file(
    tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read_coco(_write(tmp_path, [], **more))


@pytest.mark.parametrize("data", [b"", b"[" * 100_000, b'{"images": [\xff]}', b"[]", b"3"])
def test_damaged_json(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(UserError, match=r"x\.json"):
        read_coco(tmp_path / "x.json")
