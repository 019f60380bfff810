"""listing.py: folders, lists and links; VOC by name, list or folder; COCO named or found beside its
images.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.scanning.load import load_dataset
from utils.errors import UserError

GOOD_ROW = "0 .5 .5 .2 .2\n"


def test_lists_of_folders_and_text_lists(
    paint: Callable[[Path], None], make: Callable[..., Path], tmp_path: Path
) -> None:
    yaml = make(
        {"a": GOOD_ROW, "b": GOOD_ROW}, train=["lists/one.txt", "images/more"], val="lists/two.txt"
    )
    root = tmp_path / "set"
    paint(root / "images" / "more" / "deep" / "ü n.jpg")
    paint(root / "images" / "more" / ".hidden.jpg")
    (root / "lists").mkdir()
    (root / "lists" / "one.txt").write_bytes(
        b"\xef\xbb\xbf../images/train/b.png\r\n\r\nimages/train/a.png\r\n"
    )
    (root / "lists" / "two.txt").write_text("./../images/train/b.png\n./../images/train/gone.png\n")
    os.symlink(root / "images", root / "images" / "more" / "loop")
    train = load_dataset(yaml, "train")
    names = [os.path.relpath(sample.path, root) for sample in train]
    assert {"images/more/deep/ü n.jpg", "images/train/a.png"} <= set(names)
    assert not any("hidden" in name for name in names)
    val = load_dataset(yaml, "val")
    assert [Path(sample.path).name for sample in val] == ["b.png"]
    assert [entry.kind for entry in val.report.entries] == ["image missing"]


def test_voc_by_list_name_folder_and_detection(
    paint: Callable[[Path], None], make: Callable[..., Path], tmp_path: Path
) -> None:
    root = tmp_path / "set"
    for name in ("x1", "x 2"):
        paint(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations").mkdir(exist_ok=True)
        box = "<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>30</xmax><ymax>25</ymax></bndbox>"
        (root / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><object><name>dog</name>{box}</object></annotation>"
        )
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("x1\nx 2\n")
    (lists / "dog_val.txt").write_text("x1  1\nx 2 -1\n")
    for train in ("trainval", "ImageSets/Main/trainval.txt", "JPEGImages"):
        index = load_dataset(make({}, train=train, val="dog_val"), "train")
        assert [Path(sample.path).name for sample in index] == ["x 2.jpg", "x1.jpg"]
        np.testing.assert_allclose(index.boxes, [[10, 5, 30, 25]] * 2)
        assert index.classes.tolist() == [1, 1]
    assert len(load_dataset(make({}, val="dog_val"), "val")) == 1
    with pytest.raises(
        UserError, match="no label has a class that is in names; the label files have 'dog'"
    ):
        load_dataset(make({}, train="trainval", names=["Dog"]), "train")
    (lists / "gone.txt").write_text("x1\nlost\n")
    assert load_dataset(make({}, train="gone"), "train").report.entries[0].kind == "image missing"


def test_coco_beside_or_named(
    paint: Callable[[Path], None], make: Callable[..., Path], tmp_path: Path
) -> None:
    root = tmp_path / "set"
    paint(root / "val2017" / "a.jpg")
    (root / "annotations").mkdir()
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "gone.jpg"}],
        "annotations": [{"image_id": 1, "category_id": 5, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 5, "name": "dog"}],
    }
    (root / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    short = "annotations/instances_val2017.json"
    for train in (
        short,
        {"images": "val2017", "annotations": short},
        [{"images": "val2017", "annotations": short}],
    ):
        index = load_dataset(make({}, train=train), "train")
        assert index.boxes.tolist() == [[1, 2, 4, 6]]
        assert index.classes.tolist() == [1]
        assert [entry.kind for entry in index.report.entries] == ["image missing"]
    with pytest.raises(UserError, match="has no `annotations:`"):
        load_dataset(make({}, train="val2017", format="coco"), "train")
    file = root / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(content).replace('"image_id": 1', '"image_id": "1"'))
    # Otherwise all images would be learnt as background.
    with pytest.raises(
        UserError, match=r"train: none of 1 label rows can be used; the first, .*row 1"
    ):
        load_dataset(make({}, train=short), "train")
