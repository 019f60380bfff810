"""YOLO label files: a text file for each image -> boxes and polygons in pixels.

A row is `class x y width height`, or `class x1 y1 x2 y2 …` for a polygon, in shares of the image's
sides. One row of more than six values makes every row of its file a polygon. The rules are
YOLOv5's: if a row breaks one, the whole image is left out, since unlabelled objects in it would be
learnt as background.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.files import (
    LeftOut,
    note_unread,
    other_files,
    read_lines,
    select_images,
    unused_labels,
    walk_files,
)
from data.formats.format import ClassRow, DatasetFormat, OpenedSplit, Split, unknown_row
from data.formats.labels import ImageLabels, LabelError, read_label_file
from data.report import DROPPED, KEPT_AS_IS, Entry
from utils.errors import UserError
from utils.files import ROOT

MAX_CLASS = 2**31 - 1
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_RULE = (
    "labels are looked up where the last /images/ of an image's path becomes /labels/ and its"
    " suffix .txt"
)
ARCHIVES = (".zip", ".gz", ".tar")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a label file.

    Attributes:
        values: [N, 5] float32 class, x, y, width, height; all but the class are shares of the
            image's sides.
        segments: N polygons [P, 2] float32, in the same shares, or ().
        numbers: N row numbers in the file, from 1.
        repeated: Numbers of the rows that were dropped as repetitions of an earlier row.
    """

    values: np.ndarray
    segments: tuple[np.ndarray, ...]
    numbers: tuple[int, ...]
    repeated: tuple[int, ...] = ()


class YoloReader:
    """Reads the label file of each image."""

    def __init__(self, label_paths: Sequence[str]) -> None:
        self.label_paths = label_paths

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""
        return read_labels(self.label_paths[number], size)


def label_path(image_path: str) -> str:
    """Where the labels of an image are.

    The last /images/ of its path becomes /labels/, and what follows the last dot becomes txt.
    """
    images, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
    head, found, tail = image_path.rpartition(images)
    return (f"{head}{labels}{tail}" if found else image_path).rpartition(".")[0] + ".txt"


def _detect(info: DatasetInfo, sources: Sequence[SplitSource]) -> bool:
    return True  # this format is tried last, and any folder or list of images may be YOLO's


def _list(info: DatasetInfo, sources: Sequence[SplitSource]) -> Split:
    files: list[str] = []
    left_out, in_folders = LeftOut(), True
    for source in sources:
        place = info.locate(source.images)
        in_folders = in_folders and place.is_dir()
        files += walk_files(place, left_out) if place.is_dir() else _read_list(place, info)
    images, entries = select_images(files), note_unread(files)
    labels = [label_path(path) for path in images]
    left_out.others += other_files(files, labels)
    if in_folders:  # the labels of a list may belong to the images of another list
        left_out.labels += unused_labels(labels, map(os.path.dirname, images))
    return Split(
        [*images, *labels, *left_out.all()] if images else [],
        lambda: OpenedSplit(images, YoloReader(labels), entries, left_out.notes()),
        _RULE,
        labels[0] if labels else "",
    )


def _read_list(file: Path, info: DatasetInfo) -> list[str]:
    """The images of a .txt list.

    Relative paths are looked up in the data set's folder, the list's, and the project's.
    """
    if file.suffix.lower() != ".txt":
        packed = file.suffix.lower() in ARCHIVES
        remedy = "unpack it first" if packed else "give a folder or a .txt list"
        raise UserError(f"{info.path}: {file} is neither a folder nor a .txt list; {remedy}")
    bases = (info.root, file.parent, ROOT)
    return [_place_of(line, bases) for line in read_lines(file)]


def _place_of(line: str, bases: tuple[Path, Path, Path]) -> str:
    if line.startswith("./"):
        return os.path.normpath(bases[1] / line)
    places = [os.path.normpath(base / line) for base in bases]
    return next((place for place in places if os.path.exists(place)), places[0])


def _find_class(image_path: str, class_count: int) -> ClassRow:
    """The first row of the image's label file whose class is class_count or more."""
    file = label_path(image_path)
    try:
        rows = parse_rows(read_label_file(file) or b"")
    except (OSError, LabelError):  # the file has changed since the scan
        return unknown_row(file, class_count)
    at = next((at for at, value in enumerate(rows.values[:, 0]) if value >= class_count), 0)
    return ClassRow(file, rows.numbers[at], f"{rows.values[at, 0]:g}")


YOLO_FORMAT = DatasetFormat("yolo", _detect, _list, find_class=_find_class)


def read_labels(path: str | Path, size: tuple[int, int]) -> ImageLabels:
    """Labels of an image of size (height, width); no file means background. Raises LabelError."""
    data = read_label_file(path)
    if data is None:
        return ImageLabels(there=False)
    rows = parse_rows(data)
    if not len(rows.values):
        return ImageLabels()
    return _to_pixels(rows, size, str(path))


def _to_pixels(rows: Rows, size: tuple[int, int], path: str) -> ImageLabels:
    height, width = size
    scale = np.array([width, height], np.float64)
    centres, sides = rows.values[:, 1:3] * scale, rows.values[:, 3:5] * scale
    boxes = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1).astype(np.float32)
    segments = tuple((segment * scale).astype(np.float32) for segment in rows.segments)
    classes = np.minimum(rows.values[:, 0].astype(np.float64), MAX_CLASS).astype(np.int64)
    return ImageLabels(classes, boxes, segments, entries=_oddities(rows, path))


def _oddities(rows: Rows, path: str) -> tuple[Entry, ...]:
    entries = [Entry(path, number, DROPPED, "same as an earlier row") for number in rows.repeated]
    classes, sides = rows.values[:, 0], rows.values[:, 3:5]
    for at in np.flatnonzero((sides <= 0).any(axis=1)):
        entries.append(Entry(path, rows.numbers[at], KEPT_AS_IS, "box without area"))
    for at in np.flatnonzero(classes != np.floor(classes)):
        entries.append(
            Entry(path, rows.numbers[at], KEPT_AS_IS, "class rounded down", f"{classes[at]:g}")
        )
    return tuple(entries)


def parse_rows(data: bytes) -> Rows:
    """Parse a label file and check every rule but the number of classes. Raises LabelError."""
    lines = [(number, line.split()) for number, line in enumerate(_decode(data).splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    if not lines:
        return Rows(np.zeros((0, 5), np.float32), (), ())
    numbers = tuple(number for number, _ in lines)
    as_polygons = any(len(words) > 6 for _, words in lines)
    parsed = [(number, _parse_numbers(number, words)) for number, words in lines]
    segments: tuple[np.ndarray, ...] = ()
    if as_polygons:
        segments = tuple(_polygon(number, values) for number, values in parsed)
        boxes = [_enclosing_box(segment) for segment in segments]
        table = np.array(
            [[values[0], *box] for (_, values), box in zip(parsed, boxes, strict=True)], np.float32
        )
    else:
        for number, values in parsed:
            _require(len(values) == 5, number, "wrong number of values", _count_remedy(len(values)))
        table = np.stack([values for _, values in parsed])
    _check_ranges(table, numbers)
    return _without_repeats(Rows(table, segments, numbers))


def _decode(data: bytes) -> str:
    _require(
        not data.startswith(UTF16_MARKS),
        0,
        "label file not UTF-8",
        "it is UTF-16; save it as UTF-8",
    )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        raise LabelError(row, "label file not UTF-8", f"byte {data[error.start]:#04x}") from None


def _require(condition: bool, row: int, kind: str, detail: str) -> None:
    if not condition:
        raise LabelError(row, kind, detail)


def _count_remedy(count: int) -> str:
    hint = "; drop the confidence" if count == 6 else ""
    return f"{count}, but `class x y width height` are 5{hint}"


def _parse_numbers(row: int, words: list[str]) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # 1e308 becomes inf, and is refused as too large
            return np.array([float(word) for word in words]).astype(np.float32)
    except ValueError as error:
        raise LabelError(row, "not a number", str(error).rpartition(": ")[2][:40]) from None


def _polygon(row: int, values: np.ndarray) -> np.ndarray:
    even = len(values) >= 3 and len(values) % 2 == 1
    _require(
        even,
        row,
        "polygon without pairs",
        f"{len(values) - 1} coordinates; x and y must come in pairs",
    )
    return values[1:].reshape(-1, 2)


def _enclosing_box(segment: np.ndarray) -> np.ndarray:
    """[4] float32 x, y, width, height around the points."""
    low, high = segment.min(axis=0), segment.max(axis=0)
    return np.concatenate(((low + high) / 2, high - low))


def _check_ranges(table: np.ndarray, numbers: tuple[int, ...]) -> None:
    """Raise LabelError for the first NaN, negative value or coordinate above 1."""
    wrong = ~(table >= 0)  # the negation also finds NaN
    wrong[:, 1:] |= ~(table[:, 1:] <= 1)
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    value, name = table[row, column], ("class", "x", "y", "width", "height")[column]
    if np.isnan(value):
        raise LabelError(numbers[row], "value is NaN", name)
    if value < 0:
        raise LabelError(numbers[row], "negative value", f"{name} {value:g}")
    raise LabelError(
        numbers[row],
        "value above 1",
        f"{name} {value:g}; give shares of the image's sides, not pixels",
    )


def _without_repeats(rows: Rows) -> Rows:
    """Drop repeated rows. If there are any, the others are sorted by value, as in YOLOv5."""
    if len({row.tobytes() for row in rows.values}) == len(rows.values):
        return rows
    _, first = np.unique(rows.values, axis=0, return_index=True)
    kept = [int(at) for at in first]
    repeated = tuple(number for at, number in enumerate(rows.numbers) if at not in set(kept))
    segments = tuple(rows.segments[at] for at in kept) if rows.segments else ()
    return Rows(rows.values[kept], segments, tuple(rows.numbers[at] for at in kept), repeated)
