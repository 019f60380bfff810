"""The scan keeps order, counts what it meets and lets nothing stop it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from data.formats.format import OpenedSplit
from data.formats.labels import ImageLabels, LabelError
from data.report import DROPPED, LEFT_OUT, Entry
from data.scanning.scan import scan, scan_image


class Reader:
    """ImageLabels by number: 0 wrong, 1 missing, 2 empty, 3 with a dropped row, else one box."""

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        one = np.array([[1, 1, 5, 5]], np.float32)
        if number == 0:
            raise LabelError(3, "nan", "x")
        if number == 1:
            return ImageLabels(there=False)
        if number == 2:
            return ImageLabels()
        dropped = (Entry("3.txt", 2, DROPPED, "duplicate", ""),) if number == 3 else ()
        return ImageLabels(np.array([number]), one, entries=dropped)


def images(tmp_path: Path, count: int) -> list[str]:
    paths = [str(tmp_path / f"{number}.png") for number in range(count)]
    for number, path in enumerate(paths):
        cv2.imwrite(path, np.full((20 + number, 30, 3), number, np.uint8))
    return paths


def test_every_outcome_is_counted_in_order(tmp_path: Path) -> None:
    paths = images(tmp_path, 150)  # more than one chunk
    Path(paths[7]).write_bytes(b"")
    records, report = scan(OpenedSplit(paths, Reader()), "scan")
    assert [record.path for record in records] == paths
    assert [record.size for record in records[1:4]] == [(21, 30), (22, 30), (23, 30)]
    assert (report.total, report.missing, report.empty, report.corrupt, report.rows_dropped) == (
        150,
        1,
        1,
        2,
        1,
    )
    assert (
        report.found == 150 - 1 - 1
    )  # all but the missing file and the one of the unreadable image, never opened
    assert [int(record.labels.classes[0]) for record in records[140:]] == list(range(140, 150))


def test_what_is_left_out_says_why(tmp_path: Path) -> None:
    paths = images(tmp_path, 1)
    record = scan_image(paths[0], 0, Reader())
    assert record.size is None
    assert [(entry.file, entry.row, entry.action, entry.kind) for entry in record.entries] == [
        (paths[0], 3, LEFT_OUT, "label: nan")
    ]
    absent = scan_image(str(tmp_path / "none.png"), 5, Reader())
    assert absent.size is None
    assert absent.entries[0].action == LEFT_OUT
