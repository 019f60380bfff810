"""The interface of annotation formats: a DatasetFormat lists the files of a split as a Split.

A format is one file beside this one and one line of the table in data/formats/__init__.py.
data/scanning reads a Split. Listing opens no file that the cache may make unnecessary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from data.dataset_info import DatasetInfo, SplitSource
from data.formats.labels import ImageLabels, LabelError
from data.report import Entry


class LabelReader(Protocol):
    """Reads the labels of one image of an opened split."""

    def read(self, number: int, size: tuple[int, int]) -> ImageLabels:
        """Labels of image `number`, whose (height, width) is `size`. Raises LabelError."""


@runtime_checkable
class PartReader(LabelReader, Protocol):
    """A LabelReader that is faster with several images at once."""

    def read_part(
        self, images: Sequence[tuple[int, tuple[int, int]]], begin: Callable[[int], None]
    ) -> list[ImageLabels | LabelError]:
        """The labels of several images, or the error of each.

        Args:
            images: (number, (height, width)) of each.
            begin: Is called with the number of an image before a file of it is opened.
        """


@dataclass(frozen=True, slots=True)
class OpenedSplit:
    """The images of a split and a reader of their labels.

    images holds the paths in the order of the index, entries the findings of the listing, and notes
    sentences about the split as a whole.
    """

    images: list[str]
    reader: LabelReader
    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """The files of a split before any is opened.

    Attributes:
        stamped: Every file whose size and time the labels depend on; a change means a new scan.
        open: Reads the files that the listing did not open, such as one JSON for all images.
        rule: A clause for messages that says where labels are looked up.
        example: The label file of the first image, or "" where images have none of their own.
    """

    stamped: list[str]
    open: Callable[[], OpenedSplit]
    rule: str
    example: str = ""


class ClassRow(NamedTuple):
    """Where a class number is written: file, row from 1 (0 for unknown), and the value as text."""

    file: str
    row: int
    value: str


def unknown_row(image_path: str, class_count: int) -> ClassRow:
    """The answer of a format that cannot name the row of a class number."""
    return ClassRow(image_path, 0, f"of {class_count} or more")


@dataclass(frozen=True, slots=True)
class DatasetFormat:
    """A format of annotations.

    Attributes:
        name: The value of `format:` in a dataset YAML.
        detect: Whether the entries of a split look like this format.
        list_split: Lists the files of a split. Raises UserError for a path that is missing.
        annotation_suffixes: Endings, with their dot, by which a lone path in the YAML is a file of
            annotations rather than images.
        find_class: (image path, number of classes) -> the first row with a class number beyond
            them. Formats that write classes by name do not need it.
        describe: (path, folder of images or "") -> the DatasetInfo of files that have no YAML, or
            None if the path is not of this format. data/convert.py asks it for --source.
        layout: A phrase for messages that says what describe accepts.
    """

    name: str
    detect: Callable[[DatasetInfo, Sequence[SplitSource]], bool]
    list_split: Callable[[DatasetInfo, Sequence[SplitSource]], Split]
    annotation_suffixes: tuple[str, ...] = ()
    find_class: Callable[[str, int], ClassRow] = unknown_row
    describe: Callable[[Path, str], DatasetInfo | None] | None = None
    layout: str = ""


def first_annotations(sources: Sequence[SplitSource]) -> str:
    """The first annotation path that the entries of a split name, or ""."""
    return next((source.annotations for source in sources if source.annotations), "")
