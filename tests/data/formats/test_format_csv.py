"""A new format is a DatasetFormat and a line of the table: a CSV file for a whole split.

Its rows are `file,name,x1,y1,x2,y2` in pixels, and its images lie beside it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from data.convert import main as convert
from data.dataset_info import DatasetInfo, SplitSource
from data.formats import DATASET_FORMATS
from data.formats.files import select_images, walk_files
from data.formats.format import DatasetFormat, OpenedSplit, Split, first_annotations
from data.formats.labels import ImageLabels, LabelError, LabelledObject, clip_objects
from data.scanning.load import load_dataset
from utils.errors import UserError


class CsvReader:
    """Gives the rows of each image; names maps the name of a class to its number."""

    def __init__(self, file: str, images: list[str], names: dict[str, int]) -> None:
        self.file, self.images, self.names = file, images, names
        with open(file, newline="") as lines:
            self.rows = list(enumerate(csv.reader(lines), 1))

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""
        name = Path(self.images[number]).name
        objects = [_to_object(row, words) for row, words in self.rows if words[0] == name]
        return clip_objects(objects, size, self.names, self.file)


def _to_object(row: int, words: list[str]) -> LabelledObject:
    try:
        x1, y1, x2, y2 = (float(word) for word in words[2:])
    except ValueError as error:
        raise LabelError(row, "box is not four numbers", str(error)) from None
    return LabelledObject(row, words[1], (x1, y1, x2, y2))


def _detect(info: DatasetInfo, sources: Sequence[SplitSource]) -> bool:
    return first_annotations(sources).lower().endswith(".csv")


def _list(info: DatasetInfo, sources: Sequence[SplitSource]) -> Split:
    file = info.locate(sources[0].annotations)
    images = select_images(walk_files(file.parent))
    return Split(
        [*images, str(file)],
        lambda: OpenedSplit(images, CsvReader(str(file), images, info.class_numbers())),
        "labels are the rows of the CSV file",
    )


def _describe(source: Path, images: str) -> DatasetInfo | None:
    if source.suffix != ".csv":
        return None
    with open(source, newline="") as lines:
        names = dict(enumerate(dict.fromkeys(words[1] for words in csv.reader(lines))))
    train = (SplitSource(annotations=str(source)),)
    return DatasetInfo(source, source.parent, (source.parent,), names, train, format="csv")


CSV_FORMAT = DatasetFormat(
    "csv", _detect, _list, (".csv",), describe=_describe, layout="a .csv file of boxes"
)


@pytest.fixture
def rows(tmp_path: Path, paint: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CSV file of two images, with the format in the table."""
    monkeypatch.setitem(DATASET_FORMATS, "csv", CSV_FORMAT)
    for name in ("a.png", "b.png"):
        paint(tmp_path / "set" / name)
    file = tmp_path / "set" / "boxes.csv"
    file.write_text("a.png,dog,1,2,30,20\na.png,cow,1,2,3,4\nb.png,cat,50,30,70,39\n")
    return file


@pytest.mark.parametrize("keys", [{}, {"format": "csv"}])
def test_it_is_detected_or_named(
    rows: Path, make: Callable[..., Path], keys: dict[str, str]
) -> None:
    index = load_dataset(make({}, train="boxes.csv", **keys), "train")
    assert [Path(sample.path).name for sample in index] == ["a.png", "b.png"]
    assert index.boxes.tolist() == [[1, 2, 30, 20], [50, 30, 60, 39]]
    assert index.classes.tolist() == [1, 0]
    assert [(entry.row, entry.kind) for entry in index.report.entries] == [
        (2, "class not among `names`: 'cow'")
    ]


def test_its_changes_are_noticed_and_its_errors_are_entries(
    rows: Path, make: Callable[..., Path]
) -> None:
    yaml = make({}, train="boxes.csv")
    assert load_dataset(yaml, "train").report.origin == "scanned"
    assert load_dataset(yaml, "train").report.origin == "from the cache"
    rows.write_text("a.png,dog,1,2,30,x\nb.png,cat,1,2,30,20\n")
    index = load_dataset(yaml, "train")
    assert [Path(sample.path).name for sample in index] == ["b.png"]
    assert [(entry.row, entry.kind) for entry in index.report.entries] == [
        (1, "label: box is not four numbers")
    ]


def test_other_formats_are_detected_as_before(rows: Path, make: Callable[..., Path]) -> None:
    index = load_dataset(make({"c": "0 .5 .5 .2 .2\n"}), "train")
    assert [Path(sample.path).name for sample in index] == ["c.png"]


def test_convert_takes_it_as_a_source(rows: Path, tmp_path: Path) -> None:
    convert(["--source", str(rows), "--out", str(tmp_path / "out")])
    index = load_dataset(tmp_path / "out" / "data.yaml", "train")
    assert index.names == {0: "dog", 1: "cow", 2: "cat"}
    assert len(index.boxes) == 3
    with pytest.raises(UserError, match=r"is not a \.csv file of boxes or a COCO \.json file or"):
        convert(["--source", "nowhere", "--out", str(tmp_path / "other")])
