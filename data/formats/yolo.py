"""YOLO label files: a text file for each image -> boxes and polygons in pixels.

data/formats/yolo_rows.py parses the rows. One row of more than six values makes every row of its
file a polygon, as in YOLOv5. If a row breaks a rule, the whole image is left out, since unlabelled
objects in it would be learnt as background.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.files import (
    LeftOut,
    note_unread,
    other_files,
    select_images,
    unused_labels,
    walk_files,
)
from data.formats.format import (
    ClassRow,
    DatasetFormat,
    OpenedSplit,
    Split,
    unknown_row,
)
from data.formats.labels import ImageLabels, LabelError, read_label_file
from data.formats.lists import read_image_list
from data.formats.spelling import find_spellings
from data.formats.yolo_labels import labels_of_part, read_label_or_error, read_labels
from data.formats.yolo_rows import parse_rows
from data.report import KEPT_AS_IS, Entry
from utils.errors import UserError
from utils.files import ROOT
from utils.text import printable

_RULE = (
    "labels are looked up where the last /images/ of an image's path becomes /labels/ and its"
    " suffix .txt"
)
ARCHIVES = (".zip", ".gz", ".tar")


class YoloReader:
    """Reads the label file of each image, whose rows end with this many values of keypoints."""

    def __init__(self, label_paths: Sequence[str], keypoints: int = 0) -> None:
        self.label_paths, self.keypoints = label_paths, keypoints

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""
        return read_labels(self.label_paths[number], size, self.keypoints)

    def read_part(
        self, images: Sequence[tuple[int, tuple[int, int]]], begin: Callable[[int], None]
    ) -> list[ImageLabels | LabelError]:
        """As PartReader says."""
        files = []
        for number, _ in images:
            begin(number)
            path = self.label_paths[number]
            files.append((path, read_label_or_error(path)))
        return labels_of_part(files, [size for _, size in images], self.keypoints)


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
    lists: list[str] = []
    entries: list[Entry] = []
    notes: tuple[str, ...] = ()
    left_out = LeftOut()
    for source in sources:
        place = info.locate(source.images)
        if place.is_dir():
            files += walk_files(place, left_out)
            continue
        bases = (info.root, _list_of(place, info).parent, ROOT, Path.cwd())
        listed = read_image_list(place, bases)
        files += listed.paths
        lists.append(str(place))
        entries += listed.entries
        notes += listed.note(place, bases)
    images = select_images(files)
    labels, spelled = find_spellings([label_path(path) for path in images])
    left_out.others += other_files(files, labels)
    if not lists:  # the labels of a list may belong to the images of another list
        left_out.labels += unused_labels(labels, map(os.path.dirname, images))
    found = (*entries, *note_unread(files), *spelled, *_shared_labels(images, labels))
    if info.keypoints:
        notes += ("kpt_shape: keypoints are not read, only the boxes before them",)
    return Split(
        [*images, *labels, *lists, *left_out.all()] if images else [],
        lambda: OpenedSplit(
            images, YoloReader(labels, info.keypoints), found, (*notes, *left_out.notes())
        ),
        _RULE,
        labels[0] if labels else "",
    )


def _shared_labels(images: Sequence[str], labels: Sequence[str]) -> list[Entry]:
    """An entry for each label file that several images have, such as a.jpg and a.png."""
    if len(set(labels)) == len(set(images)):
        return []
    owners: dict[str, list[str]] = {}
    for image, label in dict(zip(images, labels, strict=True)).items():
        owners.setdefault(label, []).append(os.path.basename(image))
    return [
        Entry(
            label, 0, KEPT_AS_IS, "label file of several images", printable(", ".join(names), 120)
        )
        for label, names in owners.items()
        if len(names) > 1
    ]


def _list_of(file: Path, info: DatasetInfo) -> Path:
    """The same file, which must be a list. Raises UserError."""
    if file.suffix.lower() != ".txt":
        packed = file.suffix.lower() in ARCHIVES
        remedy = "unpack it first" if packed else "give a folder or a .txt list"
        raise UserError(f"{info.path}: {file} is neither a folder nor a .txt list; {remedy}")
    return file


def _find_class(image_path: str, class_count: int) -> ClassRow:
    """The first row of the image's label file whose class is class_count or more."""
    (file,), _ = find_spellings([label_path(image_path)])
    try:
        rows = parse_rows(read_label_file(file) or b"")
    except (OSError, LabelError):  # the file has changed since the scan
        return unknown_row(file, class_count)
    at = next((at for at, value in enumerate(rows.values[:, 0]) if value >= class_count), None)
    if at is None:
        return unknown_row(file, class_count)
    return ClassRow(file, rows.numbers[at], f"{rows.values[at, 0]:g}")


YOLO_FORMAT = DatasetFormat("yolo", _detect, _list, find_class=_find_class)
