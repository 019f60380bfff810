"""YOLO labels in pixels: of one file, or of many at once.

Nearly all files are ordinary: rows of five plain numbers in their ranges. The rows of all ordinary
files of a part are taken through numpy together, which is several times as fast. Every other file
is read by itself, so that what is refused or noted is the same in both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path

import numpy as np

from data.formats.labels import ImageLabels, LabelError, read_label_file
from data.formats.yolo_rows import MAX_ROWS, Rows, parse_rows
from data.report import DROPPED, KEPT_AS_IS, Entry

MAX_CLASS = 2**31 - 1
NO_AREA, CLASS_ROUNDED = "box without area", "class rounded down"
PLAIN_SIGNS = b"0123456789.eE+- \t\r\n"  # of an ordinary file
PLAIN_BYTES = MAX_ROWS  # so that it cannot have too many rows
Size = tuple[int, int]  # (height, width), pixels


def read_labels(path: str | Path, size: Size, keypoints: int = 0) -> ImageLabels:
    """Labels of an image; no file means background.

    Args:
        path: The label file.
        size: (height, width) of the image, pixels.
        keypoints: Number of values of keypoints at the end of a row.

    Returns:
        The labels in pixels.

    Raises:
        LabelError: The file breaks a rule.
    """
    data = read_label_file(path)
    if data is None:
        return ImageLabels(there=False)
    return labels_of(data, size, str(path), keypoints)


def labels_of(data: bytes, size: Size, path: str, keypoints: int = 0) -> ImageLabels:
    """As read_labels, for the content of a file whose path entries name."""
    rows = parse_rows(data, keypoints)
    if not len(rows.values):
        return ImageLabels()
    return _to_pixels(rows, size, path)


def read_label_or_error(path: str) -> bytes | LabelError | None:
    """The bytes of a label file, None if there is none, or the error."""
    try:
        return read_label_file(path)
    except LabelError as error:
        return error


def labels_of_part(
    files: Sequence[tuple[str, bytes | LabelError | None]], sizes: Sequence[Size], keypoints: int
) -> list[ImageLabels | LabelError]:
    """The labels, or the error, of each of several files.

    Args:
        files: (path, what read_label_or_error() gives) of each.
        sizes: (height, width) of the image of each, pixels.
        keypoints: Number of values of keypoints at the end of a row.
    """
    values = [plain_values(data) if isinstance(data, bytes) else None for _, data in files]
    plain = [at for at, found in enumerate(values) if found is not None]
    labels = _plain_labels([values[at] or () for at in plain], [sizes[at] for at in plain])
    together = dict(zip(plain, labels, strict=True))
    return [
        together.get(at) or _alone(data, sizes[at], path, keypoints)
        for at, (path, data) in enumerate(files)
    ]


def _alone(
    data: bytes | LabelError | None, size: Size, path: str, keypoints: int
) -> ImageLabels | LabelError:
    """The labels, or the error, of one file."""
    if data is None:
        return ImageLabels(there=False)
    if isinstance(data, LabelError):
        return data
    try:
        return labels_of(data, size, path, keypoints)
    except LabelError as error:
        return error


def plain_values(data: bytes) -> list[float] | None:
    """The numbers of a file in which every row has five of them; None for any other file."""
    if len(data) > PLAIN_BYTES or data.translate(None, PLAIN_SIGNS):
        return None
    words: list[bytes] = []
    for row in data.splitlines():
        parts = row.split()
        if len(parts) == 5:
            words += parts
        elif parts:
            return None
    try:
        return list(map(float, words))
    except ValueError:
        return None


def _plain_labels(
    files: Sequence[Sequence[float]], sizes: Sequence[Size]
) -> Iterator[ImageLabels | None]:
    """The labels of files by their plain_values(); None for a file of which an entry may tell."""
    ends = [0, *accumulate(len(values) // 5 for values in files)]
    with np.errstate(over="ignore"):  # 1e308 becomes inf, and is left to the way of a single file
        table = np.array([*chain.from_iterable(files)], np.float64).astype(np.float32)
    table = table.reshape(-1, 5)
    scales = np.array(sizes, np.float64).reshape(-1, 2)[:, ::-1]
    scale = scales.repeat(np.diff(ends), axis=0)
    centres, sides = table[:, 1:3] * scale, table[:, 3:5] * scale
    boxes = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1).astype(np.float32)
    odd = _odd_rows(table)
    classes = np.where(odd, 0, table[:, 0]).astype(np.int64)
    keys = table.view("V20").ravel().tolist() if len(table) else []  # the bytes of each row
    for first, last in pairwise(ends):
        if first == last:
            yield ImageLabels()
        elif odd[first:last].any() or len(set(keys[first:last])) < last - first:
            yield None
        else:
            yield ImageLabels(classes[first:last], boxes[first:last])


def _odd_rows(table: np.ndarray) -> np.ndarray:
    """[N] bool, whether a row [N, 5] is out of its ranges, or one that an entry must tell of."""
    classes, shares = table[:, 0], table[:, 1:]
    inside = ((shares >= 0) & (shares <= 1)).all(axis=1) & (shares[:, 2:] > 0).all(axis=1)
    return ~(inside & (classes >= 0) & (classes <= 2**24) & (classes == np.floor(classes)))


def _to_pixels(rows: Rows, size: Size, path: str) -> ImageLabels:
    height, width = size
    scale = np.array([width, height], np.float64)
    centres, sides = rows.values[:, 1:3] * scale, rows.values[:, 3:5] * scale
    boxes = np.concatenate((centres - sides / 2, centres + sides / 2), axis=1).astype(np.float32)
    segments = tuple((segment * scale).astype(np.float32) for segment in rows.segments)
    classes = np.minimum(rows.values[:, 0].astype(np.float64), MAX_CLASS).astype(np.int64)
    return ImageLabels(classes, boxes, segments, entries=_oddities(rows, path))


def _oddities(rows: Rows, path: str) -> tuple[Entry, ...]:
    entries = [Entry(path, number, DROPPED, "same as an earlier row") for number in rows.repeated]
    entries += [Entry(path, row, KEPT_AS_IS, kind, detail) for row, kind, detail in rows.oddities]
    classes, sides = rows.values[:, 0], rows.values[:, 3:5]
    for at in np.flatnonzero((sides <= 0).any(axis=1)):
        entries.append(Entry(path, rows.numbers[at], KEPT_AS_IS, NO_AREA))
    for at in np.flatnonzero(classes != np.floor(classes)):
        entries.append(Entry(path, rows.numbers[at], KEPT_AS_IS, CLASS_ROUNDED, f"{classes[at]:g}"))
    return tuple(entries)
