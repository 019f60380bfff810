"""The ids of a COCO JSON file: those of images and categories, whatever their type and order."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.dataset_yaml import read_dataset_yaml
from data.formats.coco_ids import CocoIds, find_ids
from data.report import KEPT_AS_IS, LEFT_OUT
from data.scanning.load import load_dataset
from engine.evaluation.coco import score_file
from engine.evaluation.outputs import ResultFiles
from tests.engine.evaluation.test_coco import reference
from utils.errors import UserError

Load = Callable[..., CocoIds | None]
IMAGES = [("front", 41), ("back", 7), ("side", 10**12)]


@pytest.fixture
def make_json(tmp_path: Path, paint: Callable[[Path], None]) -> Callable[..., Path]:
    """make_json(images, categories, annotations) writes three images, JSON and YAML."""

    def write(images: list[Any], categories: list[Any], annotations: list[Any]) -> Path:
        for name, _ in IMAGES:
            paint(tmp_path / "val" / f"{name}.jpg")
        content = {"images": images, "categories": categories, "annotations": annotations}
        (tmp_path / "val" / "x.json").write_text(json.dumps(content))
        yaml = {"path": str(tmp_path), "train": "val/x.json", "names": ["blue", "red"]}
        (tmp_path / "d.yaml").write_text(json.dumps({**yaml, "val": "val/x.json"}))
        return tmp_path / "d.yaml"

    return write


def image(name: str, key: Any, **more: Any) -> dict[str, Any]:
    return {"id": key, "file_name": f"{name}.jpg", **more}


def annotation(key: Any, category: Any, box: Any, **more: Any) -> dict[str, Any]:
    return {"id": 0, "image_id": key, "category_id": category, "bbox": box, **more}


CATEGORIES = [{"id": 9, "name": "red"}, {"id": 7, "name": "blue"}]


@pytest.mark.parametrize("kind", [int, str, float])
def test_results_hold_the_ids_of_the_json_and_score_as_pycocotools_says(
    make_json: Callable[..., Path], tmp_path: Path, kind: Any
) -> None:
    boxes = [
        annotation(kind(41), 7, [10, 10, 20, 20], area=300),
        annotation(kind(7), 9, [5, 5, 12, 12]),
        annotation(kind(7), 7, [20, 0, 40, 40], iscrowd=1),
    ]
    yaml = make_json([image(name, kind(key)) for name, key in IMAGES], CATEGORIES, boxes)
    index = load_dataset(yaml, "val")
    ids = find_ids(read_dataset_yaml(yaml), "val", index)
    assert ids is not None
    assert list(ids.images) == [str(key) if kind is str else key for _, key in IMAGES]
    assert ids.categories == (7, 9)
    found = [
        np.array([[10, 10, 30, 31, 0.9, 0], [30, 20, 40, 30, 0.5, 1]]),
        np.array([[25, 5, 35, 15, 0.95, 0], [5, 5, 17, 18, 0.8, 1]]),
        np.zeros((0, 6)),
    ]
    paths = [index.path(number) for number in range(3)]
    ResultFiles(json_name="p.json", ids=ids).write(tmp_path, paths, found, [(40, 60)] * 3)
    results = json.loads((tmp_path / "p.json").read_text())
    assert [row["category_id"] for row in results] == [7, 9, 7, 9]
    assert results[0]["image_id"] == (str(41) if kind is str else 41)
    figures = score_file(tmp_path / "p.json", ids.truth)
    if kind is not str:
        wanted = reference(ids.truth, results)
        np.testing.assert_allclose(list(figures.values()), wanted, atol=1e-9)
    assert figures["AP50"] == pytest.approx(1, abs=1e-6), "the detection in the crowd is ignored"


def test_an_image_that_is_left_out_does_not_shift_the_ids(
    make_json: Callable[..., Path], tmp_path: Path
) -> None:
    images = [image("front", 41), image("gone", 8), image("side", 5)]
    yaml = make_json(images, CATEGORIES, [annotation(41, 7, [1, 1, 9, 9])])
    index = load_dataset(yaml, "val")
    ids = find_ids(read_dataset_yaml(yaml), "val", index)
    assert ids is not None
    assert ids.images == (41, 5)
    assert [entry["id"] for entry in ids.truth["images"]] == [41, 5]
    assert [(entry.action, entry.kind) for entry in index.report.entries] == [
        (LEFT_OUT, "image missing")
    ]


def test_classes_without_a_category_and_no_category_at_all(
    make_json: Callable[..., Path],
) -> None:
    yaml = make_json([image("front", 1)], CATEGORIES[:1], [annotation(1, 9, [1, 1, 9, 9])])
    index = load_dataset(yaml, "val")
    info = read_dataset_yaml(yaml)
    ids = find_ids(info, "val", index)
    assert ids is not None
    assert ids.categories == (None, 9)
    with pytest.raises(UserError, match="leave out --save-json or --single-cls"):
        find_ids(info, "val", index.as_single_class())


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sub\\..\\front.jpg", []),
        ("https://host/x/front.jpg?size=1", ["image found by the last part of its name"]),
        ("C:\\data\\front.jpg", ["image found by the last part of its name"]),
        ("/home/me/front.jpg", ["image found by the last part of its name"]),
    ],
)
def test_file_names_of_other_machines_are_found(
    make_json: Callable[..., Path], name: str, kinds: list[str]
) -> None:
    entry = {"id": 3, "file_name": name, "width": 60, "height": 40}
    index = load_dataset(make_json([entry], CATEGORIES, [annotation(3, 7, [1, 1, 9, 9])]), "val")
    assert len(index) == 1
    assert [entry.kind for entry in index.report.entries] == kinds


def test_doubled_and_displaced_entries_are_said(make_json: Callable[..., Path]) -> None:
    images = [image("front", 1, width=64, height=40), image("front", 2)]
    doubled = [*CATEGORIES, {"id": 11, "name": "red"}]
    boxes = [annotation(1, 11, [1, 1, 9, 9]), annotation(2, 9, [1, 1, 9, 9])]
    yaml = make_json(images, doubled, boxes)
    index = load_dataset(yaml, "val")
    assert index.classes.tolist() == [1, 1]
    assert sorted(entry.kind for entry in index.report.entries) == [
        "categories of one name, taken as one class",
        "image sizes differ",
        "two images of one file",
    ]
    assert {entry.action for entry in index.report.entries} == {KEPT_AS_IS}
    ids = find_ids(read_dataset_yaml(yaml), "val", index)
    assert ids is not None
    assert ids.images == (1, 2)
    assert {row["category_id"] for row in ids.truth["annotations"]} == {9}


def test_a_category_id_for_two_names_is_refused(make_json: Callable[..., Path]) -> None:
    twice = [{"id": 9, "name": "red"}, {"id": 9, "name": "blue"}]
    with pytest.raises(UserError, match="id 9 stands for red and blue"):
        load_dataset(make_json([image("front", 1)], twice, []), "val")


def test_other_formats_have_no_such_ids(make: Callable[..., Path]) -> None:
    yaml = make({"a": "0 .5 .5 .2 .2\n"})
    assert find_ids(read_dataset_yaml(yaml), "val", load_dataset(yaml, "val")) is None
