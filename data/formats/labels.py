"""The labels of one image in a form common to all formats, and the steps that formats share.

Files of data/formats make ImageLabels; data/scanning checks and packs them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from data.formats.files import FileTooLargeError, read_bytes
from data.geometry import box_corners
from data.report import DROPPED, IGNORED, Entry

MAX_LABEL_BYTES = 16 * 2**20
UNKNOWN_CLASS = "class not among `names`:"


class LabelError(Exception):
    """An error in a label file, because of which its image is left out.

    row counts from 1, and 0 is the file as a whole. kind is the same for all errors of a kind, and
    detail holds the facts of this one.
    """

    def __init__(self, row: int, kind: str, detail: str = "") -> None:
        super().__init__(f"row {row}: {kind}: {detail}")
        self.row, self.kind, self.detail = row, kind, detail


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """The labels of one image.

    Attributes:
        classes: [N] int64.
        boxes: [N, 4] float32 xyxy, pixels.
        segments: N polygons [P, 2] float32, pixels, or ().
        there: Whether the label file exists.
        entries: Rows that were dropped, and oddities that were kept.
        ignored: [K, 6] float32, objects that are neither learnt nor scored: class, xyxy in pixels,
            and 1 for a crowd.
    """

    classes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    segments: tuple[np.ndarray, ...] = ()
    there: bool = True
    entries: tuple[Entry, ...] = ()
    ignored: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.float32))


@dataclass(frozen=True, slots=True)
class LabelledObject:
    """An object of a format that writes classes by name.

    row counts from 1. box is xyxy in pixels and may extend beyond the image; segment is a polygon
    [P, 2] in pixels, or None. mark is "", or a key of data.formats.marks.MARKS.
    """

    row: int
    name: str
    box: tuple[float, float, float, float]
    segment: np.ndarray | None = None
    mark: str = ""


def read_label_file(path: str | Path) -> bytes | None:
    """The bytes of a label file, or None if there is none. Raises LabelError."""
    try:
        return read_bytes(path, MAX_LABEL_BYTES)
    except FileNotFoundError:
        if os.path.islink(path):  # its labels are somewhere else, so that it is no background
            raise LabelError(0, "label link is broken", os.readlink(path)) from None
        return None
    except FileTooLargeError as error:
        raise LabelError(0, "label file too large", f"{error.size >> 20} MB") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise LabelError(0, "label file unreadable", reason) from None


def clip_objects(
    objects: Sequence[LabelledObject], size: tuple[int, int], names: dict[str, int], path: str
) -> ImageLabels:
    """Number the classes of objects and clip their boxes to the image.

    Args:
        objects: The objects of one image.
        size: (height, width) of the image, pixels.
        names: Class name -> number.
        path: The label file, for entries.

    Returns:
        The objects of known classes whose box has an area in the image; those with a mark are
        among `ignored`. Every object that is dropped or ignored becomes an entry.
    """
    height, width = size
    kept, boxes, entries = [], [], []
    marked: list[tuple[LabelledObject, tuple[float, float, float, float]]] = []
    for item in objects:
        x1, y1, x2, y2 = item.box
        box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        if item.name not in names:
            entries.append(Entry(path, item.row, DROPPED, f"{UNKNOWN_CLASS} {item.name[:40]!r}"))
        elif not (box[2] > box[0] and box[3] > box[1]):
            stated = "{:g} {:g} {:g} {:g}".format(*item.box)
            entries.append(Entry(path, item.row, DROPPED, "box without area in the image", stated))
        elif item.mark:
            entries.append(Entry(path, item.row, IGNORED, item.mark))
            marked.append((item, box))
        else:
            kept.append(item)
            boxes.append(box)
    classes = np.array([names[item.name] for item in kept], np.int64)
    pixels = np.array(boxes, np.float32).reshape(-1, 4)
    segments, ignored = _complete_segments(kept, pixels), _pack_marked(marked, names)
    return ImageLabels(classes, pixels, segments, entries=tuple(entries), ignored=ignored)


def _pack_marked(
    marked: Sequence[tuple[LabelledObject, tuple[float, float, float, float]]],
    names: dict[str, int],
) -> np.ndarray:
    """Marked objects and their boxes as the rows of ImageLabels.ignored."""
    rows = [(names[item.name], *box, item.mark == "crowd") for item, box in marked]
    return np.array(rows, np.float32).reshape(-1, 6)


def _complete_segments(
    objects: Sequence[LabelledObject], boxes: np.ndarray
) -> tuple[np.ndarray, ...]:
    """A polygon for every object, its box's corners where it has none; () if no object has one."""
    if all(item.segment is None for item in objects):
        return ()
    corners = box_corners(boxes)
    return tuple(
        corners[at] if item.segment is None else item.segment for at, item in enumerate(objects)
    )
