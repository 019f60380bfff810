"""The scan: check every image of an OpenedSplit and read its labels, into a ScannedImage each.

Reading headers and small files waits for the disk more than for Python, so threads are enough; they
also start at once, whereas processes would first have to import everything.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from data.formats.format import LabelReader, OpenedSplit
from data.formats.labels import ImageLabels, LabelError
from data.image_header import ImageError
from data.images import check_image
from data.report import KEPT_AS_IS, LEFT_OUT, Entry, ScanReport
from data.scanning.threads import FileThreads
from utils.terminal import has_errors
from utils.text import printable

CHUNK = 64  # images that a thread takes at a time
MAX_THREADS = 8


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """The findings of the scan about one image.

    size is (height, width), or None if the image is left out. labels is None if they were not read.
    """

    path: str
    size: tuple[int, int] | None
    labels: ImageLabels | None
    entries: tuple[Entry, ...]


def scan_image(path: str, number: int, reader: LabelReader) -> ScannedImage:
    """Check one image and read its labels.

    Args:
        path: The image.
        number: Its place in the split.
        reader: Reads the labels of the split.

    Returns:
        The findings; everything wrong with the image or its labels is among the entries.
    """
    try:
        header = check_image(path)
    except ImageError as error:
        return ScannedImage(path, None, None, (Entry(path, 0, LEFT_OUT, error.kind, error.detail),))
    oddities = tuple(Entry(path, 0, KEPT_AS_IS, f"{kind} image") for kind in header.oddities)
    try:
        labels = reader.read(number, header.size)
    except LabelError as error:
        wrong = Entry(path, error.row, LEFT_OUT, f"label: {error.kind}", error.detail)
        return ScannedImage(path, None, ImageLabels(), (*oddities, wrong))
    return ScannedImage(path, header.size, labels, (*oddities, *labels.entries))


def scan(opened: OpenedSplit, title: str) -> tuple[list[ScannedImage], ScanReport]:
    """Scan every image of a split in its order, with a progress bar called title on a terminal.

    Raises UserError if a file is waited for in vain.
    """
    from tqdm import tqdm

    def work(number: int, path: str) -> ScannedImage:
        return scan_image(path, number, opened.reader)

    scanned: list[ScannedImage] = []
    threads = FileThreads(work, opened.images, CHUNK)
    hidden = None if has_errors() else True  # None hides it unless stderr is a terminal
    with tqdm(total=len(opened.images), desc=printable(title), disable=hidden, leave=False) as bar:
        for chunk in threads.results(min(MAX_THREADS, 2 * (os.cpu_count() or 1))):
            scanned += chunk
            bar.update(len(chunk))
    return scanned, _count(scanned, opened)


def _count(images: Sequence[ScannedImage], opened: OpenedSplit) -> ScanReport:
    read = [image.labels for image in images if image.labels is not None]
    return ScanReport(
        total=len(images),
        found=sum(labels.there for labels in read),
        missing=sum(not labels.there for labels in read),
        empty=sum(_is_empty(image) for image in images),
        corrupt=sum(image.size is None for image in images),
        entries=(*opened.entries, *(entry for image in images for entry in image.entries)),
        notes=opened.notes,
    )


def _is_empty(image: ScannedImage) -> bool:
    """Whether the image has a label file without a row."""
    labels = image.labels
    return (
        image.size is not None and labels is not None and labels.there and not len(labels.classes)
    )
