"""data/formats/voc.py: VOC's pixels, clipping, unknown classes, and XML made to do harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.labels import LabelError
from data.formats.voc import VOC_FORMAT, VocReader
from data.formats.xml_files import parse_xml
from data.report import DROPPED, KEPT_AS_IS


def _voc(*objects: tuple[str, str, str, str, str], size: tuple[int, int] = (100, 200)) -> str:
    rows = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for name, a, b, c, d in objects
    )
    sides = f"<width>{size[0]}</width><height>{size[1]}</height>"
    return f"<annotation><size>{sides}</size>{rows}</annotation>"


def test_voc_counts_from_one_clips_and_drops(tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    cat = [
        ("cat", "1", "1", "100", "200"),
        ("cat", "91", "1.5", "130", "20"),
        ("cat", "150", "1", "160", "20"),
    ]
    file.write_text(
        _voc(*cat, ("cow", "1", "1", "9", "9"), ("cat", "9", "9", "5", "5"), size=(200, 100))
    )
    labels = VocReader([str(file)], {"dog": 0, "cat": 1}).read(0, (200, 100))
    np.testing.assert_allclose(labels.boxes, [[0, 0, 100, 200], [90, 0.5, 100, 20]])
    assert labels.classes.tolist() == [1, 1]
    assert [(entry.action, entry.row) for entry in labels.entries] == [
        (KEPT_AS_IS, 0),
        (DROPPED, 3),
        (DROPPED, 4),
        (DROPPED, 5),
    ]
    assert "'cow'" in labels.entries[2].kind


@pytest.mark.parametrize("value", ["", "nan", "inf", "1e999", "left"])
def test_voc_number_that_is_none(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.xml").write_text(_voc(("cat", "1", value, "9", "9")))
    with pytest.raises(LabelError, match="ymin"):
        VocReader([str(tmp_path / "a.xml")], {"cat": 0}).read(0, (200, 100))


LAUGHS = (
    '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><annotation>&b;</annotation>'
)
READS_FILE = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'


@pytest.mark.parametrize("text", [LAUGHS, READS_FILE, "<!DOCTYPE annotation><annotation/>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_with_entities_is_refused_in_any_encoding(text: str, encoding: str) -> None:
    with pytest.raises(LabelError, match="entities are not expanded"):
        parse_xml(text.encode(encoding))


@pytest.mark.parametrize(
    "data",
    [b"", b"<a><b></a>", b"\x00\xff", b'<?xml version="1.0" encoding="none"?><a/>', b"<a>&x;</a>"],
)
def test_damaged_xml_is_refused(data: bytes) -> None:
    with pytest.raises(LabelError, match="not valid XML"):
        parse_xml(data)


def _voc_set(folder: Path, names: str, size: tuple[int, int] = (20, 20)) -> DatasetInfo:
    """A VOC set of the images a and b, with this list."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / part).mkdir(parents=True)
    for stem in "ab":
        (folder / "JPEGImages" / f"{stem}.png").write_bytes(b"")
        text = _voc(("cat", "1", "1", "9", "9"), size=size)
        (folder / "Annotations" / f"{stem}.xml").write_text(text)
    (folder / "ImageSets" / "Main" / "train.txt").write_text(names)
    train = (SplitSource("train"),)
    return DatasetInfo(folder / "d.yaml", folder, (folder,), {0: "cat"}, train=train, format="voc")


def test_images_that_a_list_of_one_class_leaves_out_are_named(tmp_path: Path) -> None:
    info = _voc_set(tmp_path, "a  1\nb -1\n")
    opened = VOC_FORMAT.list_split(info, info.train).open()
    assert [Path(path).name for path in opened.images] == ["a.png"]
    (note,) = opened.notes
    assert "train.txt: 1 images with -1 behind their name" in note
    assert note.endswith("such as b")


def test_names_with_a_suffix_are_found_in_a_list(tmp_path: Path) -> None:
    info = _voc_set(tmp_path, "a.png\nb.jpg\n")
    images = VOC_FORMAT.list_split(info, info.train).open().images
    assert [Path(path).name for path in images] == ["a.png", "b.png"]


def test_a_size_of_zero_means_that_it_is_not_known(tmp_path: Path) -> None:
    info = _voc_set(tmp_path, "a\n", size=(0, 0))
    assert not VOC_FORMAT.list_split(info, info.train).open().reader.read(0, (20, 20)).entries
