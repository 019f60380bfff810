"""The rows of a YOLO label file: parsing and every rule but the number of classes.

A row is `class x y width height`, or `class x1 y1 x2 y2 …` for a polygon, in shares of the image's
sides. The rules are YOLOv5's, and Ultralytics' for values just beyond the edge: up to 0.01 below 0
or above 1 they are taken for 0 or 1.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.formats.labels import LabelError
from utils.text import printable

MAX_ROWS, MAX_ROW_LENGTH = 100_000, 2**21
TOLERANCE = 0.01  # of the image's side, as in Ultralytics' check
BOX_AMONG_POLYGONS = "box among polygons, read as two points"
COLUMNS = ("class", "x", "y", "width", "height")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a label file.

    Attributes:
        values: [N, 5] float32 class, x, y, width, height; all but the class are shares of the
            image's sides.
        segments: N polygons [P, 2] float32, in the same shares, or ().
        numbers: N row numbers in the file, from 1.
        oddities: (row number, kind, detail) of everything that was tolerated.
        repeated: Numbers of the rows that were dropped as repetitions of an earlier row.
    """

    values: np.ndarray
    segments: tuple[np.ndarray, ...]
    numbers: tuple[int, ...]
    oddities: tuple[tuple[int, str, str], ...] = ()
    repeated: tuple[int, ...] = ()


Note = Callable[[int, str, str], None]  # gets a row number, a kind and a detail


def parse_rows(data: bytes, keypoints: int = 0) -> Rows:
    """Parse a label file, whose rows may end with values of keypoints. Raises LabelError."""
    oddities: list[tuple[int, str, str]] = []

    def note(row: int, kind: str, detail: str = "") -> None:
        oddities.append((row, kind, detail))

    parsed = _read_values(_decode(data))
    if keypoints:
        whole = len(COLUMNS) + keypoints
        parsed = [(row, values[:5] if len(values) == whole else values) for row, values in parsed]
    if not parsed:
        return Rows(np.zeros((0, 5), np.float32), (), ())
    numbers = tuple(number for number, _ in parsed)
    segments: tuple[np.ndarray, ...] = ()
    if any(len(values) > 6 for _, values in parsed):
        everything = np.concatenate([values[1:] for _, values in parsed])
        if not _inside(everything):
            _clip_edges([(number, values[1:]) for number, values in parsed], note)
        segments = tuple(_polygon(number, values, note) for number, values in parsed)
        boxes = [_enclosing_box(segment) for segment in segments]
        table = np.array(
            [[values[0], *box] for (_, values), box in zip(parsed, boxes, strict=True)], np.float32
        )
    else:
        for number, values in parsed:
            _require(len(values) == 5, number, "wrong number of values", _count_remedy(len(values)))
        table = np.stack([values for _, values in parsed])
        if not _inside(table[:, 1:]):
            _clip_edges(list(zip(numbers, table[:, 1:], strict=True)), note)
    _check_ranges(table, numbers)
    return _without_repeats(Rows(table, segments, numbers, tuple(oddities)))


def _decode(data: bytes) -> str:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + 1
        kind = "label file not UTF-16" if wide else "label file not UTF-8"
        raise LabelError(row, kind, f"byte {data[error.start]:#04x}") from None


def _require(condition: bool, row: int, kind: str, detail: str) -> None:
    if not condition:
        raise LabelError(row, kind, detail)


def _read_values(text: str) -> list[tuple[int, np.ndarray]]:
    """The values of every row that is not blank, float32, with the row's number."""
    parsed = []
    many = text.count("\n") > MAX_ROWS or text.count("\r") > MAX_ROWS
    _require(not many, 0, "label file too large", f"more than {MAX_ROWS:,} rows")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_ROW_LENGTH:
            raise LabelError(number, "row too long", f"{len(line):,} signs")
        words = line.split()
        if not words:
            continue
        parsed.append((number, _parse_numbers(number, words)))
    return parsed


def _count_remedy(count: int) -> str:
    hint = "; drop the confidence" if count == 6 else ""
    return f"{count}, but `class x y width height` are 5{hint}"


def _parse_numbers(row: int, words: list[str]) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # 1e308 becomes inf, and is refused as too large
            return np.array([float(word) for word in words]).astype(np.float32)
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        detail = f"'{printable(wrong, 40)}'{_number_remedy(wrong, words)}"
        raise LabelError(row, "not a number", detail) from None


def _number_remedy(wrong: str, words: list[str]) -> str:
    if _DECIMAL_COMMA.fullmatch(wrong) and len(words) >= 5:
        return "; write decimal points"
    return "; separate values with blanks" if "," in wrong or ";" in wrong else ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _polygon(row: int, values: np.ndarray, note: Note) -> np.ndarray:
    """The points [P, 2] of a row."""
    even = len(values) >= 3 and len(values) % 2 == 1
    _require(
        even,
        row,
        "polygon without pairs",
        f"{len(values) - 1} coordinates; x and y must come in pairs"
        " (for rows of keypoints the data set's YAML needs kpt_shape)",
    )
    if len(values) == 5:
        note(row, BOX_AMONG_POLYGONS, "as in YOLOv5; write its corners")
    return values[1:].reshape(-1, 2)


def _enclosing_box(segment: np.ndarray) -> np.ndarray:
    """[4] float32 x, y, width, height around the points."""
    low, high = segment.min(axis=0), segment.max(axis=0)
    return np.concatenate(((low + high) / 2, high - low))


def _inside(shares: np.ndarray) -> bool:
    return bool(shares.min() >= 0 and shares.max() <= 1)


def _clip_edges(rows: Sequence[tuple[int, np.ndarray]], note: Note) -> None:
    """Move values that are up to TOLERANCE beyond 0 or 1 to these, in place.

    rows holds row numbers and the row's values without its class.
    """
    for row, shares in rows:
        beyond = np.maximum(shares - 1, -shares)
        if (beyond > 0).any() and (beyond <= np.float32(TOLERANCE)).all():
            note(row, "value just outside 0..1, clipped", f"{shares[beyond.argmax()]:.9g}")
            np.clip(shares, 0, 1, out=shares)


def _check_ranges(table: np.ndarray, numbers: tuple[int, ...]) -> None:
    """Raise LabelError for the first NaN, negative value or coordinate above 1."""
    if table.min() >= 0 and table[:, 1:].max() <= 1:
        return
    wrong = ~(table >= 0)  # the negation also finds NaN
    wrong[:, 1:] |= ~(table[:, 1:] <= 1)
    row, column = np.argwhere(wrong)[0]
    value, name = table[row, column], COLUMNS[column]
    if np.isnan(value):
        raise LabelError(numbers[row], "value is NaN", name)
    if value < 0:
        raise LabelError(numbers[row], "negative value", f"{name} {value:g}")
    raise LabelError(
        numbers[row],
        "value above 1",
        f"{name} {value:.7g}; give shares of the image's sides, not pixels",
    )


def _without_repeats(rows: Rows) -> Rows:
    """Drop repeated rows. If there are any, the others are sorted by value, as in YOLOv5."""
    if len({row.tobytes() for row in rows.values}) == len(rows.values):
        return rows
    _, first = np.unique(rows.values, axis=0, return_index=True)
    kept = [int(at) for at in first]
    left = set(kept)
    repeated = tuple(number for at, number in enumerate(rows.numbers) if at not in left)
    segments = tuple(rows.segments[at] for at in kept) if rows.segments else ()
    numbers = tuple(rows.numbers[at] for at in kept)
    return Rows(rows.values[kept], segments, numbers, rows.oddities, repeated)
