"""Look at every image and its labels once: Opened -> a Record for each image, for data/index.py
to pack.

Header reading and small files wait on the disk more than on Python, so threads are enough (and
start at once).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from data.formats.listing import LabelReader, Opened
from data.formats.yolo import LabelError, Labels
from data.images import ImageError, check_image
from data.report import KEPT, LEFT_OUT, Entry, ScanReport

CHUNK = 64  # images handed to a thread at a time
MAX_THREADS = 8


@dataclass(frozen=True, slots=True)
class Record:
    """A image scanned. size: (height, width), or None if it is left out. labels: None if they
    were not read.
    """

    path: str
    size: tuple[int, int] | None
    labels: Labels | None
    entries: tuple[Entry, ...]


def examine(path: str, number: int, reader: LabelReader) -> Record:
    """Check one image and read its labels; whatever is wrong with them becomes an entry."""
    try:
        header = check_image(path)
    except ImageError as error:
        return Record(path, None, None, (Entry(path, 0, LEFT_OUT, error.kind, error.detail),))
    oddities = tuple(Entry(path, 0, KEPT, f"{kind} image") for kind in header.oddities)
    try:
        labels = reader.read(number, header.size)
    except LabelError as error:
        wrong = Entry(path, error.row, LEFT_OUT, f"label: {error.kind}", error.detail)
        return Record(path, None, Labels(), (*oddities, wrong))
    return Record(path, header.size, labels, (*oddities, *labels.entries))


def scan(opened: Opened, title: str) -> tuple[list[Record], ScanReport]:
    """Examine every image of a split, with a progress bar on a terminal; the order of images is
    kept.
    """
    from tqdm import tqdm

    paths = opened.images
    starts = range(0, len(paths), CHUNK)

    def work(start: int) -> list[Record]:
        return [
            examine(path, start + at, opened.reader)
            for at, path in enumerate(paths[start : start + CHUNK])
        ]

    records: list[Record] = []
    threads = min(MAX_THREADS, 2 * (os.cpu_count() or 1))
    with (
        ThreadPoolExecutor(threads) as pool,
        tqdm(total=len(paths), desc=title, disable=None, leave=False) as bar,
    ):
        for chunk in pool.map(work, starts):
            records += chunk
            bar.update(len(chunk))
    return records, _count(records, opened.entries)


def _count(records: Sequence[Record], entries: tuple[Entry, ...]) -> ScanReport:
    read = [record.labels for record in records if record.labels is not None]
    return ScanReport(
        total=len(records),
        found=sum(labels.there for labels in read),
        missing=sum(not labels.there for labels in read),
        empty=sum(_is_empty(record) for record in records),
        corrupt=sum(record.size is None for record in records),
        entries=(*entries, *(entry for record in records for entry in record.entries)),
    )


def _is_empty(record: Record) -> bool:
    labels = record.labels
    return (
        record.size is not None and labels is not None and labels.there and not len(labels.classes)
    )
