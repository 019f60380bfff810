"""VOC's difficult objects and COCO's crowds, from the files to the batches of evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data.dataset import DatasetSettings
from data.dataset_yaml import read_dataset_yaml
from data.index import DatasetIndex
from data.loader import build_loader
from data.report import DROPPED, IGNORED
from data.scanning.load import load_dataset
from utils.errors import UserError

Paint = Callable[[Path], None]
BOX = "<xmin>{0}</xmin><ymin>5</ymin><xmax>{1}</xmax><ymax>20</ymax>"


@pytest.fixture
def voc(tmp_path: Path, paint: Paint) -> Callable[..., DatasetIndex]:
    """voc(**YAML keys): two images, the second with an ordinary and a difficult object."""
    for name in ("a", "b"):
        paint(tmp_path / "JPEGImages" / f"{name}.jpg")
    (tmp_path / "Annotations").mkdir()
    objects = "".join(
        f"<object><name>cow</name><difficult>{mark}</difficult>"
        f"<bndbox>{BOX.format(x, x + 9)}</bndbox></object>"
        for mark, x in ((0, 11), (1, 31))
    )
    (tmp_path / "Annotations" / "a.xml").write_text("<annotation></annotation>")
    (tmp_path / "Annotations" / "b.xml").write_text(f"<annotation>{objects}</annotation>")

    def load(single_cls: bool = False, **keys: str) -> DatasetIndex:
        content = {"path": str(tmp_path), "train": "JPEGImages", "names": ["dog", "cow"], **keys}
        (tmp_path / "d.yaml").write_text(json.dumps(content))
        return load_dataset(tmp_path / "d.yaml", "train", single_cls=single_cls)

    return load


def test_difficult_objects_are_neither_learnt_nor_lost(voc: Callable[..., DatasetIndex]) -> None:
    for origin in ("scanned", "from the cache"):
        index = voc()
        assert index.report.origin == origin
        np.testing.assert_allclose(index.boxes, [[10, 4, 20, 20]])
        np.testing.assert_allclose(index.ignored, [[1, 30, 4, 40, 20, 0]])
        assert index.ignored_images.tolist() == [1]
        assert [entry.action for entry in index.report.entries] == [IGNORED]
        assert "1 difficult object: not scored" in index.report.summary()
    assert voc(single_cls=True).ignored[:, 0].tolist() == [0]
    assert index.subset([1, 0]).ignored_images.tolist() == [0]


def test_difficult_objects_can_be_ordinary_ones_or_dropped(
    voc: Callable[..., DatasetIndex],
) -> None:
    as_objects = voc(difficult="object")
    assert (len(as_objects.boxes), len(as_objects.ignored)) == (2, 0)
    dropped = voc(difficult="drop")
    assert (len(dropped.boxes), len(dropped.ignored)) == (1, 0)
    assert [entry.action for entry in dropped.report.entries] == [DROPPED]


@pytest.mark.parametrize("keys", [{"difficult": "keep"}, {"crowd": "object"}, {"crowd": [1]}])
def test_an_unknown_choice_is_one_line(tmp_path: Path, keys: dict[str, object]) -> None:
    (tmp_path / "d.yaml").write_text(json.dumps({"train": "x", "names": ["a"], **keys}))
    with pytest.raises(UserError, match=r"(difficult|crowd): .* is unknown; use ignore or"):
        read_dataset_yaml(tmp_path / "d.yaml")


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_of_evaluation_carry_ignored_objects_and_training_none(
    voc: Callable[..., DatasetIndex], workers: int
) -> None:
    index = voc()
    (batch,) = build_loader(index, DatasetSettings(64, rect=True), workers=workers)
    at = batch.indices.index(1)
    np.testing.assert_allclose(batch.ignored, [[at, 1, 30, 4, 40, 20, 0]])
    assert batch.targets[:, :2].tolist() == [[at, 1]]
    (batch,) = build_loader(index, DatasetSettings(64, augment=True), workers=workers)
    assert len(batch.ignored) == 0


def test_digests_of_sets_without_marks_are_as_before(voc: Callable[..., DatasetIndex]) -> None:
    plain = voc(difficult="drop")
    assert plain.digest != voc().digest
    packed = {name: value for name, value in plain.arrays().items() if "ignored" not in name}
    assert DatasetIndex(plain.names, **packed).digest == plain.digest
