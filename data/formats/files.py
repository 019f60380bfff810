"""Listing of folders and of lists of files, which all formats share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from data.image_formats import SUFFIXES, UNREAD_SUFFIXES, unread_remedy
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
    return tuple(
        Entry(
            file, 0, LEFT_OUT, f"{_suffix(file).upper()} is not read", unread_remedy(_suffix(file))
        )
        for file in sorted(files)
        if _suffix(file) in UNREAD_SUFFIXES
    )


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def read_lines(file: Path) -> list[str]:
    """The lines of a list of images without blank ones. Raises UserError unless it is UTF-8."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as a UTF-8 list of images ({error}); check the file"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]
