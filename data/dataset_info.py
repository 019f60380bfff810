"""The content of a dataset YAML as a value.

data/dataset_yaml.py reads it, and the formats in data/formats turn its entries into files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from utils.errors import UserError
from utils.text import shown

TASKS = ("train", "val", "test")


@dataclass(frozen=True)
class SplitSource:
    """One entry of train, val or test, as written; "" stands for a part that is not given."""

    images: str = ""
    annotations: str = ""


@dataclass(frozen=True)
class DatasetInfo:
    """A dataset YAML, checked.

    Attributes:
        path: The YAML itself.
        root: The folder of the data set.
        bases: The folders in which relative entries are looked up, in this order.
        names: Class number -> name.
        train, val, test: The entries of each split; () for a split that is not given.
        format: A name in data.formats.DATASET_FORMATS, or "" to detect it from the files.
        generator: The value of `generate`, or "".
        about: A sentence for the user, or "".
        suggested: The mapping `defaults`.
        channels: 3 for colour, 1 for grey, 0 if the YAML does not say.
        keypoints: How many values of keypoints follow the box in a label row (`kpt_shape`).
        difficult, crowd: What becomes of objects with these marks, see data/formats/marks.py.
    """

    path: Path
    root: Path
    bases: tuple[Path, ...]
    names: dict[int, str]
    train: tuple[SplitSource, ...] = ()
    val: tuple[SplitSource, ...] = ()
    test: tuple[SplitSource, ...] = ()
    format: str = ""
    generator: str = ""
    about: str = ""
    suggested: dict[str, Any] = field(default_factory=dict)
    channels: int = 0
    keypoints: int = 0
    difficult: str = "ignore"
    crowd: str = "ignore"

    def sources(self, task: str) -> tuple[SplitSource, ...]:
        """The entries of a split. Raises UserError if the YAML has none."""
        if task not in TASKS:
            raise UserError(f"task {shown(task)} is unknown; use {', '.join(TASKS)}")
        found: tuple[SplitSource, ...] = getattr(self, task)
        if not found:
            raise UserError(f"{self.path}: no `{task}:`; add the folder of its images")
        return found

    def class_numbers(self) -> dict[str, int]:
        """Class name -> number; if names repeat, the first one counts."""
        return {name: number for number, name in reversed(self.names.items())}

    def find(self, *entries: str) -> Path | None:
        """The first file or folder that exists under one of these entries, or None."""
        return next((place for place in self._places(entries) if os.path.exists(place)), None)

    def locate(self, entry: str, *preferred: str) -> Path:
        """The file or folder that an entry names.

        Args:
            entry: A path as written in the YAML.
            preferred: Other spellings of the entry, which are looked up before it.

        Returns:
            The first place that exists.

        Raises:
            UserError: No place exists; the message lists them all.
        """
        place = self.find(*preferred, entry)
        if place is None:
            looked = ", ".join(map(str, self._places((*preferred, entry))))
            there = "is a path of Windows" if is_of_windows(entry) else "does not exist"
            raise UserError(f"{self.path}: {entry} {there} (looked at {looked}); correct the path")
        return place

    def _places(self, entries: tuple[str, ...]) -> Iterator[Path]:
        """Every place that entries may name, each once.

        Exported data sets often hold a YAML whose paths begin with one `../` too many.
        """
        variants = [
            variant
            for entry in entries
            for written in (entry, as_local(entry))
            for variant in (written, _inside(written))
        ]
        places = (Path(os.path.normpath(base / text)) for text in variants for base in self.bases)
        return iter(dict.fromkeys(places))


def _inside(entry: str) -> str:
    return entry.removeprefix("../")


def as_local(entry: str) -> str:
    """A path as written on Windows with backslashes, for this system."""
    return entry if os.sep == "\\" else entry.replace("\\", "/")


def is_of_windows(entry: str) -> bool:
    """Whether a path has a drive's letter, which other systems do not know."""
    return os.sep != "\\" and re.match(r"[A-Za-z]:[\\/]", entry) is not None
