"""What a reader of the figures is told: sentences that change their meaning, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.formats.yolo_labels import CLASS_ROUNDED, NO_AREA
from data.formats.yolo_rows import BOX_AMONG_POLYGONS
from data.index import DatasetIndex
from data.report import DROPPED, IGNORED, KEPT_AS_IS, LEFT_OUT, Entry, ScanReport
from data.sample import Sample
from engine.evaluation.notes import (
    data_notes,
    id_notes,
    result_notes,
    settings_notes,
    training_notes,
)

Make = Callable[..., DatasetIndex]


def index_of(*paths: str, **report: object) -> DatasetIndex:
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    samples = [Sample(path, (10, 10), *none) for path in paths]
    return DatasetIndex.pack(samples, {0: "a"}, ScanReport(**{"total": 5, "found": 5, **report}))


LABEL = np.zeros((1, 5))


def test_an_ordinary_set_has_no_notes() -> None:
    assert data_notes(index_of("a"), "val") == []
    assert settings_notes(0.001, False) == []
    assert result_notes([np.zeros((3, 6))], [LABEL], {0: "a"}, 300) == []
    assert id_notes("p.json", [1, 2], []) == []


def test_images_left_out_and_rows_dropped_and_objects_ignored_are_counted() -> None:
    entries = [Entry("f", 1, DROPPED, "x"), Entry("f", 2, KEPT_AS_IS, BOX_AMONG_POLYGONS)]
    entries += [Entry("f", row, IGNORED, "difficult") for row in range(12)]
    notes = " | ".join(data_notes(index_of("a", corrupt=3, entries=tuple(entries)), "val"))
    for part in (
        "val: 3 of 5 images left out",
        "val: 1 label row dropped (1 x)",
        "val: 12 difficult objects not scored; detections there count neither",
        "1 label row of 5 values in files with polygons",
    ):
        assert part in notes


def test_validation_images_that_are_trained_on_are_said() -> None:
    *_, note = training_notes(index_of("a", "b", "c"), index_of("c", "d"))
    assert note.startswith("1 of 2 validation images also among the training images")
    assert len(training_notes(index_of("a"), index_of("b"))) == 1  # no objects


def test_flags_that_change_map_are_said() -> None:
    conf, single, hybrid = settings_notes(0.25, True, True)
    assert "--save-hybrid" in hybrid
    assert "0.25 is above 0.001: mAP is too low" in conf
    assert "--single-cls" in single


def test_cut_results_and_classes_without_labels_are_said() -> None:
    found = [np.zeros((100, 6)), np.zeros((99, 6))]
    full, lacking = result_notes(found, [LABEL, LABEL], dict(enumerate("abcdefgh")), 100)
    assert full.startswith("1 of 2 images reached the limit of 100")
    assert "7 of 8 classes without a labelled object" in lacking
    assert lacking.endswith("b, c, d, e, f, …")


def test_false_positives_of_background_images_are_counted() -> None:
    rows = np.array([[0, 0, 9, 9, 0.9, 0], [0, 0, 9, 9, 0.3, 0], [0, 0, 9, 9, 0.2, 0]])
    (note,) = result_notes([rows, rows[2:]], [LABEL[:0]] * 2, {0: "a"}, 300)
    assert "2 false detections above confidence 0.25, on 1 of 2 images" in note


def test_the_usual_limit_of_detections_is_said_only_of_crowded_images() -> None:
    found, crowd = [np.zeros((300, 6))], np.zeros((301, 5))
    assert result_notes(found, [crowd[:300]], {0: "a"}, 300) == []
    (note,) = result_notes(found, [crowd], {0: "a"}, 300)
    assert note.startswith("1 of 1 image reached the limit of 300 detections")


def test_images_left_out_are_named_in_the_notes() -> None:
    entries = tuple(Entry(f"{name}.png", 0, LEFT_OUT, "empty file") for name in "abcde")
    (note,) = data_notes(index_of("x", corrupt=4, entries=entries), "val")  # one is of no format
    assert note == (
        "val: 5 of 6 images left out (a.png: empty file; b.png: empty file; c.png: empty file;"
        " and 2 more)"
    )


def test_images_that_a_split_holds_twice_are_said() -> None:
    (note,) = data_notes(index_of("a", "b", "a"), "val")
    assert note == "val: 1 image listed more than once and counted each time, such as a"


def test_classes_that_are_rounded_and_boxes_without_area_are_said() -> None:
    entries = tuple(Entry("f", 1, KEPT_AS_IS, kind) for kind in (CLASS_ROUNDED, NO_AREA))
    rounded, flat = data_notes(index_of("a", entries=entries), "val")
    assert "1 label row with a class that is no whole number" in rounded
    assert "1 object with a box without area" in flat


def test_training_on_background_alone_is_said() -> None:
    assert data_notes(index_of("a"), "train") == [
        "train: no label file holds an object, so only background can be learnt"
    ]


def test_ids_that_pycocotools_does_not_take_are_said() -> None:
    text, lacking = id_notes("p.json", [1, "a"], ["red"])
    assert "image_id is a text" in text
    assert lacking.endswith("red")


@pytest.mark.parametrize("task", ["val", "test"])
def test_a_background_set_without_label_files_is_accepted_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    from data.scanning.load import load_dataset
    from utils.errors import UserError

    monkeypatch.setenv("YOLO_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "d.yaml").write_text(
        f"path: {tmp_path}\ntrain: images\nval: images\ntest: images\nnames: [a]\n"
    )
    index = load_dataset(tmp_path / "d.yaml", task)
    assert "none of 1 images has a label file" in index.report.summary()
    assert f"e.g. {tmp_path / 'labels' / 'a.txt'}" in index.report.summary()
    assert data_notes(index, task) == [
        f"{task}: no label file was found, so all images count as background"
    ]
    with pytest.raises(UserError, match="none of 1 images has a label file"):
        load_dataset(tmp_path / "d.yaml", "train")
