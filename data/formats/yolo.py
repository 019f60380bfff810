"""YOLO label files: text -> boxes and polygons in pixels. Called by data/scanning/scan.py, a file
at a time.

A row is `class x y width height`, or `class x1 y1 x2 y2 …` for a polygon, in shares of the
image's sides. One row of more than six values makes every row of its file a polygon. The rules
are YOLOv5's: a row that breaks one leaves its whole image out, since a image with some of its
objects unlabelled would teach that they are background.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.report import DROPPED, KEPT, Entry

MAX_LABEL_BYTES = 64 * 2**20
MAX_CLASS = 2**31 - 1
UNKNOWN_CLASS = "class not among `names`:"
NO_BOXES = np.zeros((0, 4), np.float32)
NO_CLASSES = np.zeros(0, np.int64)
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class LabelError(Exception):
    """A label file that costs its image. row counts from 1, 0 is the whole file; kind and detail
    as in ImageError.
    """

    def __init__(self, row: int, kind: str, detail: str = "") -> None:
        super().__init__(f"row {row}: {kind}: {detail}")
        self.row, self.kind, self.detail = row, kind, detail


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels of one image, whatever format they came in.

    classes: [N] int64. boxes: [N, 4] float32 xyxy, pixels. segments: N polygons [P, 2] float32,
    pixels, or (). there: whether there is a label file. entries: rows dropped, oddities kept.
    """

    classes: np.ndarray = field(default_factory=lambda: NO_CLASSES)
    boxes: np.ndarray = field(default_factory=lambda: NO_BOXES)
    segments: tuple[np.ndarray, ...] = ()
    there: bool = True
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """A label file as it stands. values: [N, 5] float32 class, x, y, width, height in shares of the
    image's sides.

    segments: N polygons [P, 2] float32, shares too, or (). numbers: N row numbers, from 1.
    repeated: numbers of the rows that were left away because an earlier one is the same.
    """

    values: np.ndarray
    segments: tuple[np.ndarray, ...]
    numbers: tuple[int, ...]
    repeated: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """An object as VOC and COCO state it: box xyxy in pixels, maybe beyond the image; segment [P,
    2] or none.
    """

    row: int
    name: str
    box: tuple[float, float, float, float]
    segment: np.ndarray | None = None


class YoloReader:
    """Reads the label file of each image. Pickles to little more than the paths."""

    def __init__(self, label_paths: Sequence[str]) -> None:
        self.label_paths = label_paths

    def read(self, number: int, size: tuple[int, int]) -> Labels:
        """Labels of image `number` of (height, width) `size`. Raises LabelError."""
        return read_labels(self.label_paths[number], size)


def label_path(image_path: str) -> str:
    """Where the labels of a image are: the last /images/ becomes /labels/, what follows the last
    dot becomes txt.
    """
    images, labels = f"{os.sep}images{os.sep}", f"{os.sep}labels{os.sep}"
    head, found, tail = image_path.rpartition(images)
    return (f"{head}{labels}{tail}" if found else image_path).rpartition(".")[0] + ".txt"


def read_label_file(path: str | Path) -> bytes | None:
    """Its bytes, or None if there is none. Raises LabelError."""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            _require(size <= MAX_LABEL_BYTES, 0, "label file too large", f"{size >> 20} MB")
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        raise LabelError(
            0, "label file unreadable", getattr(error, "strerror", None) or str(error)
        ) from None


def read_labels(path: str | Path, size: tuple[int, int]) -> Labels:
    """Labels of a image of (height, width) size; no file means background. Raises LabelError."""
    data = read_label_file(path)
    if data is None:
        return Labels(there=False)
    rows = parse_rows(data)
    if not len(rows.values):
        return Labels()
    return _to_pixels(rows, size, str(path))


def _to_pixels(rows: Rows, size: tuple[int, int], path: str) -> Labels:
    height, width = size
    scale = np.array([width, height], np.float64)
    centres, sides = rows.values[:, 1:3] * scale, rows.values[:, 3:5] * scale
    boxes = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1).astype(np.float32)
    segments = tuple((segment * scale).astype(np.float32) for segment in rows.segments)
    classes = np.minimum(rows.values[:, 0].astype(np.float64), MAX_CLASS).astype(np.int64)
    return Labels(classes, boxes, segments, entries=_oddities(rows, path))


def _oddities(rows: Rows, path: str) -> tuple[Entry, ...]:
    entries = [Entry(path, number, DROPPED, "same as an earlier row") for number in rows.repeated]
    classes, sides = rows.values[:, 0], rows.values[:, 3:5]
    for at in np.flatnonzero((sides <= 0).any(axis=1)):
        entries.append(Entry(path, rows.numbers[at], KEPT, "box without area"))
    for at in np.flatnonzero(classes != np.floor(classes)):
        entries.append(
            Entry(path, rows.numbers[at], KEPT, "class rounded down", f"{classes[at]:g}")
        )
    return tuple(entries)


def parse_rows(data: bytes) -> Rows:
    """Parse the bytes of a label file, checking every rule but the number of classes.

    Raises LabelError.
    """
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
    hint = "; leave the confidence away" if count == 6 else ""
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
    """Refuse NaN, negative values (the class too) and coordinates above 1, naming the first."""
    wrong = ~(table >= 0)
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
    """Drop repeated rows; those left are then sorted by their values, as YOLOv5 leaves them."""
    if len({row.tobytes() for row in rows.values}) == len(rows.values):
        return rows
    _, first = np.unique(rows.values, axis=0, return_index=True)
    kept = [int(at) for at in first]
    repeated = tuple(number for at, number in enumerate(rows.numbers) if at not in set(kept))
    segments = tuple(rows.segments[at] for at in kept) if rows.segments else ()
    return Rows(rows.values[kept], segments, tuple(rows.numbers[at] for at in kept), repeated)


def clip_objects(
    objects: Sequence[LabelledObject], size: tuple[int, int], names: dict[str, int], path: str
) -> Labels:
    """Labels of objects whose class is known, boxes clipped to the image; each one dropped
    becomes an entry.
    """
    height, width = size
    kept, boxes, entries = [], [], []
    for item in objects:
        x1, y1, x2, y2 = item.box
        box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if item.name not in names:
            entries.append(Entry(path, item.row, DROPPED, f"{UNKNOWN_CLASS} {item.name[:40]!r}"))
        elif not (box[2] > box[0] and box[3] > box[1]):
            entries.append(
                Entry(
                    path,
                    item.row,
                    DROPPED,
                    "box without area in the image",
                    "{:g} {:g} {:g} {:g}".format(*item.box),
                )
            )
        else:
            kept.append(item)
            boxes.append(box)
    classes = np.array([names[item.name] for item in kept], np.int64)
    pixels = np.array(boxes, np.float32).reshape(-1, 4)
    return Labels(classes, pixels, _complete_segments(kept, pixels), entries=tuple(entries))


def _complete_segments(
    objects: Sequence[LabelledObject], boxes: np.ndarray
) -> tuple[np.ndarray, ...]:
    """A polygon for every object, a box's own corners where there is none; () if no object has one."""
    if all(item.segment is None for item in objects):
        return ()
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    return tuple(
        corners[at] if item.segment is None else item.segment for at, item in enumerate(objects)
    )
