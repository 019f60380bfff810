"""The image and video files that a path, folder, glob or list of --source stands for."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from data.image_formats import UNREAD_SUFFIXES, unread_remedy
from data.sources.listing import find_line, source_lines
from data.sources.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_url,
    hide_password,
    is_url,
    is_video,
    suffix_of,
)
from data.sources.patterns import matching
from utils.errors import UserError
from utils.files import check_path
from utils.text import printable

MOST_FILES = 10_000_000  # of a list, whose lines may each name a folder


def is_media_url(url: str) -> bool:
    """Whether a URL names an image or video file rather than a live stream."""
    check_url(url)
    return (
        urlsplit(url).scheme.lower() in ("http", "https")
        and suffix_of(url) in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    )


def expand(text: str) -> list[str]:
    """The image and video paths that text stands for. Raises UserError if there are none."""
    if is_url(text):
        return [text]
    if not text:
        raise UserError(
            "--source: is empty; give an image, video, folder, list, camera number or URL"
        )
    check_path(text, "--source ")
    path = Path(text)
    try:
        if path.is_dir():
            return _media(
                sorted(str(file) for file in path.iterdir() if not file.name.startswith(".")), text
            )
        if path.is_file():
            return _read_list(path) if path.suffix.lower() == ".txt" else _media([text], text)
    except OSError as error:
        raise UserError(
            f"--source {text}: cannot be read ({error.strerror}); check the path"
        ) from None
    if glob.has_magic(text):
        return _media(matching(text, _is_named, "--source "), text)
    if path.exists():
        raise UserError(f"--source {text}: is neither a file nor a folder; copy it to a file")
    raise UserError(f"--source {text}: no such file or folder; check the path")


def _is_media(path: str) -> bool:
    return suffix_of(path) in IMAGE_SUFFIXES or is_video(path)


def _is_named(path: str) -> bool:
    """Whether a file of a folder or pattern is read, or is an image of another format."""
    return _is_media(path) or suffix_of(path)[1:] in UNREAD_SUFFIXES


def _media(files: Sequence[str], origin: str) -> list[str]:
    """The files that are images or videos by their suffix. Raises UserError if none is."""
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    # What is no regular file stays, so that reading it says so.
    found = [file for file in files if _is_media(file) and not Path(file).is_dir()]
    unread = [suffix for file in files if (suffix := suffix_of(file)[1:]) in UNREAD_SUFFIXES]
    if not found and unread:
        raise UserError(
            f"--source {origin}: {unread[0].upper()} is not read; {unread_remedy(unread[0])}"
        )
    if not found:
        raise UserError(
            f"--source {origin}: holds no image or video; known suffixes are"
            f" {' '.join(sorted(known))}"
        )
    return found


def _read_list(path: Path) -> list[str]:
    """The files of a list, which holds a path, folder, glob or media URL per line.

    Relative paths are looked up in the working folder, then in the list's folder.
    """
    found: list[str] = []
    for number, line in source_lines(path):
        where = f"{path}:{number}: "
        found += _listed_url(line, where) if is_url(line) else _listed(line, path, where)
        if len(found) > MOST_FILES:
            raise UserError(f"{where}the list names more than {MOST_FILES:,} files; divide it")
    if not found:
        raise UserError(f"--source {path}: is an empty list; write one path per line")
    return found


def _listed_url(line: str, where: str) -> list[str]:
    if not is_media_url(line):
        raise UserError(
            f"{where}{hide_password(line)} is a stream; list streams in a .streams file"
        )
    return [line]


def _listed(line: str, path: Path, where: str) -> list[str]:
    """The files of a line of a list. Raises UserError, with where in front, if there are none."""
    check_path(line, where)
    try:
        place = find_line(line, path.parent)
        if Path(place).is_file() and Path(place).suffix.lower() == ".txt":
            # A list may name itself, or others that name it.
            raise UserError(f"{printable(line, 200)}: is a list; write its lines here")
        return expand(place)
    except UserError as error:
        raise UserError(f"{where}{str(error).removeprefix('--source ')}") from None
