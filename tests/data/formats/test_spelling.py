"""Label files that only a file system without case, or macOS, finds under their expected names."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from data.formats.spelling import find_spellings
from data.scanning.load import load_dataset

DECOMPOSED = unicodedata.normalize("NFD", "café")


@pytest.mark.parametrize(
    ("expected", "there"),
    [
        ("labels/train/a.txt", "labels/train/a.TXT"),
        ("labels/train/a.txt", "labels/train/A.txt"),
        ("labels/train/a.txt", "Labels/train/a.txt"),
        ("labels/a.txt", "LABELS/a.txt"),
        ("labels/café.txt", f"labels/{DECOMPOSED}.txt"),
        (f"labels/{DECOMPOSED}.txt", "labels/café.txt"),
    ],
)
def test_other_case_and_other_form_of_accents_are_found(
    tmp_path: Path, expected: str, there: str
) -> None:
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).touch()
    found, entries = find_spellings([str(tmp_path / expected)])
    assert found == [str(tmp_path / there)]
    assert [entry.file for entry in entries] == found


def test_the_exact_name_wins_and_two_candidates_are_none(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for name in ("a.txt", "A.txt", "B.txt", "b.TXT"):
        (tmp_path / "labels" / name).touch()
    expected = [str(tmp_path / "labels" / name) for name in ("a.txt", "b.txt", "none.txt")]
    assert find_spellings(expected) == (expected, ())


def test_labels_of_another_case_are_read_and_named(tmp_path: Path, paint) -> None:
    paint(tmp_path / "images" / "a.png")
    (tmp_path / "Labels").mkdir()
    (tmp_path / "Labels" / "a.TXT").write_text("1 .5 .5 .2 .2\n")
    (tmp_path / "d.yaml").write_text(f"path: {tmp_path}\ntrain: images\nnames: [a, b]\n")
    index = load_dataset(tmp_path / "d.yaml", "train")
    assert index.classes.tolist() == [1]
    assert [entry.kind for entry in index.report.entries] == ["label file spelled otherwise"]


def test_images_of_another_form_of_accents_are_found_in_lists_json_and_voc(
    tmp_path: Path, paint: Callable[[Path], None]
) -> None:
    paint(tmp_path / "JPEGImages" / f"{DECOMPOSED}.jpg")
    (tmp_path / "list.txt").write_text("JPEGImages/café.jpg\n")
    image = {"id": 1, "file_name": "café.jpg"}
    content = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    (tmp_path / "JPEGImages" / "x.json").write_text(json.dumps(content))
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "CAFÉ.XML").write_text("<annotation/>")
    for entry in ("list.txt", "JPEGImages/x.json", "JPEGImages"):
        yaml = f"path: {tmp_path}\ntrain: x\nval: {entry}\nnames: [a]\n"
        (tmp_path / "d.yaml").write_text(yaml)
        index = load_dataset(tmp_path / "d.yaml", "val")
        assert (len(index), index.report.corrupt) == (1, 0)
    assert index.report.found == 1
