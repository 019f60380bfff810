"""Listing of folders and of lists of files, which all formats share."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.image_header import SUFFIXES, UNREAD_SUFFIXES
from data.regular import open_regular
from data.report import LEFT_OUT, Entry
from utils.errors import UserError


def walk_files(folder: Path) -> Iterator[str]:
    """Yield every file below a folder except hidden ones.

    Links are followed, but no folder is visited twice, so that a link to a parent ends the walk.
    """
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=_refuse_folder):
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (os.path.join(place, name) for name in files if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    raise UserError(f"{error.filename}: cannot be read ({error.strerror}); check its permissions")


def select_images(files: Iterable[str]) -> list[str]:
    """The files that are images by their suffix, sorted."""
    return sorted(file for file in files if _suffix(file) in SUFFIXES)


def note_unread(files: Iterable[str]) -> tuple[Entry, ...]:
    """Make an entry for each image whose format is not supported."""
    remedy = "save it as JPEG or PNG"
    return tuple(
        Entry(file, 0, LEFT_OUT, f"{_suffix(file).upper()} is not read", remedy)
        for file in sorted(files)
        if _suffix(file) in UNREAD_SUFFIXES
    )


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


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
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if limit and size > limit:
            raise FileTooLargeError(size)
        return file.read()


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
