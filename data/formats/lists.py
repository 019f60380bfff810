"""Lists of images: a text file with a path on each line, as YOLOv5, Ultralytics and darknet use.

A path may be in quotes, and \\ stands for / where no file has that name. A relative path is looked
up in the folder of the data set (`path:`), then in that of the list, in the project and in the
working folder; one that starts with ./ is looked up in the folder of the list first.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data.formats.files import is_image, read_rows
from data.formats.spelling import accent_forms
from data.report import KEPT_AS_IS, LEFT_OUT, Entry
from utils.text import printable, unquoted

WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass
class ListedImages:
    """What a list of images holds: paths, findings, and the lines whose file does not exist."""

    paths: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def note(self, file: Path, bases: Sequence[Path]) -> tuple[str, ...]:
        """A sentence on the lines whose file does not exist, with the folders that were tried."""
        if not self.missing:
            return ()
        first = self.missing[0]
        hint = "; give paths relative to `path:`" if WINDOWS_PATH.match(first) else ""
        if "*" in first:
            hint = "; patterns are not expanded, list the files or name their folder in the YAML"
        tried = ", ".join(printable(base) for base in dict.fromkeys(bases))
        return (
            f"{printable(file)}: {len(self.missing):,} of {len(self.paths):,} images do not exist,"
            f" e.g. {printable(first, 120)} (looked up in {tried}){hint}",
        )


def read_image_list(file: Path, bases: Sequence[Path]) -> ListedImages:
    """The images of a list, in its order; see the module for how they are looked up.

    Args:
        file: The list.
        bases: The folders of the data set, of the list, and others to try.

    Returns:
        The paths, and what is odd about them.

    Raises:
        UserError: The list cannot be read.
    """
    found = ListedImages()
    for row, line in read_rows(file):
        text = unquoted(line)
        place, exists = find_listed(text, bases, file.parent)
        if not exists and text.startswith("#"):
            continue  # a comment
        if is_image(place):
            found.paths.append(place)
            if not exists:
                found.missing.append(text)
            continue
        kind = "a line of the list that names no image"
        remedy = "name lists and folders in the YAML" if exists else "check its suffix"
        found.entries.append(
            Entry(str(file), row, LEFT_OUT, kind, f"{printable(text, 80)}; {remedy}")
        )
    found.entries += _repeated(file, found.paths)
    return found


def find_listed(text: str, bases: Sequence[Path], own: Path) -> tuple[str, bool]:
    """The first place of a listed path that exists, else the first one; and whether it exists."""
    order = (own, *bases) if text.startswith(("./", ".\\")) else bases
    spellings = [text, text.replace("\\", "/")] if "\\" in text else [text]
    spellings += accent_forms(spellings[-1])
    places = (os.path.normpath(base / spelling) for spelling in spellings for base in order)
    found = next((place for place in places if os.path.exists(place)), "")
    return (found, True) if found else (os.path.normpath(order[0] / text.replace("\\", "/")), False)


def _repeated(file: Path, paths: Sequence[str]) -> list[Entry]:
    """An entry for each image that the list names more than once."""
    repeated = [(path, count) for path, count in Counter(paths).items() if count > 1]
    return [
        Entry(path, 0, KEPT_AS_IS, "image listed more than once", f"{count} times in {file.name}")
        for path, count in repeated
    ]
