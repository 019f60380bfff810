"""Listing of folders and of lists of files, which all formats share."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.image_formats import SUFFIXES, UNREAD_SUFFIXES, unread_remedy
from data.report import LEFT_OUT, Entry
from utils.errors import UserError
from utils.regular_file import open_handle, read_handle
from utils.text import printable

NAMED = 3  # files that a sentence names
NO_LABELS = ("classes.txt",)  # written beside labels by programs for labelling


@dataclass
class LeftOut:
    """The files of image folders that are no images of the split, by what they are."""

    hidden: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def all(self) -> list[str]:
        """Every path, sorted by kind."""
        return [path for part in (self.hidden, self.folders, self.others, self.labels)
                for path in sorted(part)]  # fmt: skip

    def notes(self) -> tuple[str, ...]:
        """A sentence for each kind that is there, with the count and the first names."""
        kinds = (
            (self.others, "files in the image folders that are no images, left out"),
            (self.hidden, "hidden images (names that begin with a dot), left out"),
            (self.folders, "folders that are named like images"),
            (self.labels, "label files without an image, not used"),
        )
        return tuple(_named(paths, what) for paths, what in kinds if paths)


def _named(paths: list[str], what: str) -> str:
    names = [printable(os.path.basename(path), 60) for path in sorted(paths)[:NAMED]]
    more = ", …" if len(paths) > NAMED else ""
    return f"{what}: {len(paths):,} ({', '.join(names)}{more})"


def walk_files(folder: Path, left_out: LeftOut | None = None) -> Iterator[str]:
    """Yield every file below a folder except hidden ones.

    Links are followed, but no folder is visited twice, so that a link to a parent ends the walk.

    Args:
        folder: Where to begin.
        left_out: Gets the hidden images, and the folders that are named like images.
    """
    left_out = left_out or LeftOut()
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        left_out.folders += [
            os.path.join(place, name) for name in folders if _suffix(name) in SUFFIXES
        ]
        left_out.hidden += [
            os.path.join(place, name)
            for name in files
            if name.startswith(".") and _suffix(name) in SUFFIXES
        ]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        start = os.path.join(place, "")
        yield from (start + name for name in files if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")


def select_images(files: Iterable[str]) -> list[str]:
    """The files that are images by their suffix, sorted."""
    return sorted(file for file in files if _suffix(file) in SUFFIXES)


def other_files(files: Iterable[str], used: Iterable[str]) -> list[str]:
    """The files that are neither images of any kind nor among those that are used."""
    known = SUFFIXES | UNREAD_SUFFIXES
    used = set(used)
    return [file for file in files if _suffix(file) not in known and file not in used]


def unused_labels(labels: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The .txt files that lie beside labels of images and are not among them.

    Args:
        labels: The label files that images have, or would have.
        folders: The folders of the images, whose other files are counted already.
    """
    used = set(labels)
    found: list[str] = []
    for folder in sorted({os.path.dirname(label) for label in used} - set(folders)):
        names = os.listdir(folder) if os.path.isdir(folder) else []
        found += [
            path
            for name in names
            if name.endswith(".txt") and name not in NO_LABELS
            if not name.startswith(".") and (path := os.path.join(folder, name)) not in used
        ]
    return found


def note_unread(files: Iterable[str]) -> tuple[Entry, ...]:
    """Make an entry for each image whose format is not supported."""
    return tuple(
        Entry(
            file, 0, LEFT_OUT, f"{_suffix(file).upper()} is not read", unread_remedy(_suffix(file))
        )
        for file in sorted(files)
        if _suffix(file) in UNREAD_SUFFIXES
    )


def _suffix(path: str) -> str:
    """The suffix of a path without its dot, in small letters, as os.path.splitext() finds it."""
    stem, _, suffix = path.rpartition(os.sep)[2].rpartition(".")
    return suffix.lower() if stem.strip(".") else ""


def is_image(path: str) -> bool:
    """Whether a path has the suffix of an image, of a format that is read or not."""
    return _suffix(path) in SUFFIXES or _suffix(path) in UNREAD_SUFFIXES


class FileTooLargeError(Exception):
    """A file of more bytes than its reader takes; size is their number."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def read_bytes(path: str | Path, limit: int = 0) -> bytes:
    """The content of a regular file.

    Raises OSError, ValueError for a path with a zero byte, and FileTooLargeError if the file has
    more than limit bytes (0 for no limit).
    """
    handle, size = open_handle(path)
    try:
        if limit and size > limit:
            raise FileTooLargeError(size)
        return read_handle(handle, size)
    finally:
        os.close(handle)


def read_rows(file: Path) -> list[tuple[int, str]]:
    """The lines of a list without blank ones, each with its number from 1.

    Raises UserError unless the list is UTF-8, or UTF-16 with a byte order mark.
    """
    try:
        data = read_bytes(file)
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file}: cannot be read as a UTF-8 list of images ({error}); check the file"
        ) from None
    # splitlines() would also split at signs that a file name may hold.
    rows = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines = ((number, line.strip()) for number, line in enumerate(rows, 1))
    return [(number, line) for number, line in lines if line]


def read_lines(file: Path) -> list[str]:
    """The lines that read_rows() gives, without their numbers."""
    return [line for _, line in read_rows(file)]
