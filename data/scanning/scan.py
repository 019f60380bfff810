"""The scan: check every image of an OpenedSplit and read its labels, part by part.

Threads are enough for a small data set: they start at once, and wait for the disk together. From
PROCESSES_FROM images on Python itself takes longest, so that forked processes share the work. Each
part becomes a DatasetIndex with its report, and these are joined in order, so that the result is
the same in both ways.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.formats.format import LabelReader, OpenedSplit, PartReader
from data.formats.labels import ImageLabels, LabelError
from data.image_header import Header, ImageError
from data.images import check_image
from data.index import DatasetIndex
from data.report import KEPT_AS_IS, LEFT_OUT, Entry, ScanReport
from data.sample import Sample
from data.scanning.processes import FileProcesses
from data.scanning.threads import FileThreads
from utils.machine import usable_cores
from utils.terminal import has_errors
from utils.text import printable

CHUNK, PROCESS_CHUNK = 64, 128  # images of a part; the pipe of a process holds about 150
MOST_AT_ONCE = 8
PROCESSES_FROM = 5000  # images


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """The findings of the scan about one image.

    size is (height, width), or None if the image is left out. labels is None if they were not read.
    """

    path: str
    size: tuple[int, int] | None
    labels: ImageLabels | None
    entries: tuple[Entry, ...]


def scan(opened: OpenedSplit, title: str, names: dict[int, str]) -> DatasetIndex:
    """Scan every image of a split in its order, with a progress bar called title on a terminal.

    Args:
        opened: The split.
        title: Its name, for the progress bar.
        names: Class number -> name.

    Returns:
        The index of the images that are not left out, with the report on all.

    Raises:
        UserError: A file is waited for in vain, or a process was ended from outside.
    """
    from tqdm import tqdm

    def work(numbers: range, begin: Callable[[int], None]) -> DatasetIndex:
        return scan_part(opened, numbers, begin)

    images, parts = opened.images, []
    many = len(images) >= PROCESSES_FROM and sys.platform == "linux"  # where forking is safe
    workers: FileProcesses[DatasetIndex] | FileThreads[DatasetIndex] = (
        FileProcesses(work, images, PROCESS_CHUNK) if many else FileThreads(work, images, CHUNK)
    )
    hidden = None if has_errors() else True  # None hides it unless stderr is a terminal
    with tqdm(total=len(images), desc=printable(title), disable=hidden, leave=False) as bar:
        for part in workers.results(min(MOST_AT_ONCE, 2 * usable_cores())):
            parts.append(part)
            bar.update(part.report.total)
    head = ScanReport(entries=opened.entries, notes=opened.notes)
    report = ScanReport.join([head, *(part.report for part in parts)])
    return DatasetIndex.join(parts, names, report)


def scan_part(opened: OpenedSplit, numbers: range, begin: Callable[[int], None]) -> DatasetIndex:
    """Check the images with these numbers and read their labels.

    Args:
        opened: The split.
        numbers: The images of the part.
        begin: Is called with the number of an image before a file of it is opened.

    Returns:
        The index of those that are not left out; everything wrong is among its report's entries.
    """
    headers: dict[int, Header | ImageError] = {}
    for number in numbers:
        begin(number)
        try:
            headers[number] = check_image(opened.images[number])
        except ImageError as error:
            headers[number] = error
    sizes = [(number, found.size) for number, found in headers.items() if isinstance(found, Header)]
    labels = dict(zip(dict(sizes), _read_labels(opened.reader, sizes, begin), strict=True))
    images = [
        _judge(opened.images[number], header, labels.get(number))
        for number, header in headers.items()
    ]
    return _pack(images)


def _read_labels(
    reader: LabelReader,
    images: Sequence[tuple[int, tuple[int, int]]],
    begin: Callable[[int], None],
) -> list[ImageLabels | LabelError]:
    """As PartReader.read_part, for any reader."""
    if isinstance(reader, PartReader):
        return reader.read_part(images, begin)
    found: list[ImageLabels | LabelError] = []
    for number, size in images:
        begin(number)
        try:
            found.append(reader.read(number, size))
        except LabelError as error:
            found.append(error)
    return found


def _judge(
    path: str, header: Header | ImageError, labels: ImageLabels | LabelError | None
) -> ScannedImage:
    """The findings about one image, by its header and its labels or what is wrong with them."""
    if isinstance(header, ImageError):
        left_out = Entry(path, 0, LEFT_OUT, header.kind, header.detail)
        return ScannedImage(path, None, None, (left_out,))
    oddities = tuple(Entry(path, 0, KEPT_AS_IS, f"{kind} image") for kind in header.oddities)
    if isinstance(labels, LabelError):
        wrong = Entry(path, labels.row, LEFT_OUT, f"label: {labels.kind}", labels.detail)
        return ScannedImage(path, None, ImageLabels(), (*oddities, wrong))
    entries = (*oddities, *labels.entries) if labels else oddities
    return ScannedImage(path, header.size, labels, entries)


def _pack(images: Sequence[ScannedImage]) -> DatasetIndex:
    samples = [
        Sample(
            image.path,
            image.size,
            image.labels.boxes,
            image.labels.classes,
            image.labels.segments,
            image.labels.ignored,
        )
        for image in images
        if image.size is not None and image.labels is not None
    ]
    return DatasetIndex.pack(samples, {}, _count(images))


def _count(images: Sequence[ScannedImage]) -> ScanReport:
    read = [image.labels for image in images if image.labels is not None]
    return ScanReport(
        total=len(images),
        found=sum(labels.there for labels in read),
        missing=sum(not labels.there for labels in read),
        empty=sum(_is_empty(image) for image in images),
        corrupt=sum(image.size is None for image in images),
        entries=tuple(entry for image in images for entry in image.entries),
    )


def _is_empty(image: ScannedImage) -> bool:
    """Whether the image has a label file without a row."""
    labels = image.labels
    return (
        image.size is not None and labels is not None and labels.there and not len(labels.classes)
    )
