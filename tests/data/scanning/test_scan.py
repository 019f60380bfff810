"""The scan keeps order, counts what it meets and lets nothing stop it."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.formats.format import OpenedSplit
from data.formats.labels import ImageLabels, LabelError
from data.formats.yolo import YoloReader
from data.report import DROPPED, LEFT_OUT, Entry
from data.scanning import scan as scanning
from data.scanning.scan import scan, scan_part


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
    index = scan(OpenedSplit(paths, Reader()), "scan", {})
    report = index.report
    assert [index.path(number) for number in range(len(index))] == paths[1:7] + paths[8:]
    assert index.sizes[:3].tolist() == [[21, 30], [22, 30], [23, 30]]
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
    assert index.classes[-10:].tolist() == list(range(140, 150))


def test_what_is_left_out_says_why(tmp_path: Path) -> None:
    paths = [*images(tmp_path, 1), str(tmp_path / "none.png")]
    opened, begun = OpenedSplit(paths, Reader()), list[int]()
    index = scan_part(opened, range(2), begun.append)
    assert len(index) == 0
    assert [
        (entry.file, entry.row, entry.action, entry.kind) for entry in index.report.entries
    ] == [
        (paths[0], 3, LEFT_OUT, "label: nan"),
        (paths[1], 0, LEFT_OUT, "image missing"),
    ]
    assert begun == [0, 1, 0]  # two images, and the labels of the first


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
def test_processes_find_what_threads_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays, the report and with them the file of the cache are the same, byte for byte."""
    paths = images(tmp_path, 40)
    for number, path in enumerate(paths):
        rows = f"{number} 0.5 0.5 0.2 0.3\n" * (1 + number % 3)
        polygon = f"1 0.1 0.1 0.2 0.1 0.{1 + number % 9} 0.2\n" if number % 5 == 0 else ""
        Path(path).with_suffix(".txt").write_text(rows + polygon)
    Path(paths[7]).write_bytes(b"")
    Path(paths[9]).with_suffix(".txt").unlink()
    Path(paths[11]).with_suffix(".txt").write_text("1 2 3\n")
    reader = YoloReader([str(Path(path).with_suffix(".txt")) for path in paths])
    first = Entry("list.txt", 1, LEFT_OUT, "a line", "")
    opened = OpenedSplit(paths, reader, (first,), ("a note",))
    threads = scan(opened, "scan", {0: "a"})
    monkeypatch.setattr(scanning, "PROCESSES_FROM", 1)
    monkeypatch.setattr(scanning, "PROCESS_CHUNK", 3)
    processes = scan(opened, "scan", {0: "a"})
    assert processes.report == threads.report
    assert threads.report.corrupt == 2
    assert threads.report.entries[0] == first
    assert processes.names == threads.names == {0: "a"}
    for name, array in threads.arrays().items():
        other = processes.arrays()[name]
        assert (other.dtype, other.shape) == (array.dtype, array.shape)
        assert other.tobytes() == array.tobytes()
    threads.check()
    assert len(threads.points) > 0


def test_a_split_without_images_has_an_empty_index() -> None:
    index = scan(OpenedSplit([], Reader()), "scan", {})
    index.check()
    assert len(index) == 0
