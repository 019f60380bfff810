"""Paths and URLs as text: the kind of file that they name, and the names of their results.

data/sources/open.py and data/sources/streams.py read them, and put the names into Frame.path and
Frame.name, by which engine/inference/writers.py names its files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from data.image_formats import SUFFIXES
from utils.errors import UserError
from utils.text import file_name, public_url

VIDEO_SUFFIXES = frozenset(
    (".asf", ".avi", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".wmv")
)
# A GIF may be animated, so that it is read as a video.
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in SUFFIXES) - VIDEO_SUFFIXES

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")
VIDEO_SITES = ("youtube.com", "youtu.be")


def is_url(text: str) -> bool:
    """Whether the text is a URL rather than a path."""
    return "://" in text


def is_video(path: str) -> bool:
    """Whether the suffix of a path or URL is that of a video."""
    return suffix_of(path) in VIDEO_SUFFIXES


def suffix_of(path: str) -> str:
    """The suffix with its dot, in lower case; for a URL, that of its path."""
    place = public_url(path).partition("://")[2].partition("/")[2] if is_url(path) else path
    return Path(place).suffix.lower()


def hide_password(path: str) -> str:
    """A path, or a URL without password and other secrets, so that it can be printed."""
    return public_url(path) if is_url(path) else path


def check_url(url: str) -> None:
    """Raise UserError for a URL that is neither a stream nor a file of the web."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    except ValueError:  # such as a bracket without its partner
        scheme = host = ""
    if scheme == "file":
        raise UserError(f"--source {hide_password(url)}: give the plain path, without file://")
    if scheme not in STREAM_SCHEMES or not host:
        raise UserError(
            f"--source {hide_password(url)}: is not a URL of {', '.join(STREAM_SCHEMES)}"
        )
    if any(host == site or host.endswith("." + site) for site in VIDEO_SITES):
        raise UserError(
            f"--source {hide_password(url)}: is a web page, not a video; save the video with yt-dlp"
            " and give its file"
        )


def result_name(path: str) -> str:
    """The stem of the results of a path or URL, safe as part of a file name."""
    if not is_url(path):
        return file_name(Path(path).stem, "source", limit=0)
    place = public_url(path).partition("://")[2]
    if suffix_of(path) in IMAGE_SUFFIXES | VIDEO_SUFFIXES:
        place = Path(unquote(place)).stem
    return file_name(place, "source")


def result_names(paths: Sequence[str]) -> list[str]:
    """Give every path a name that is unique on any file system: a second `a` becomes `a2`.

    A numbered name never takes the stem of another file. A video `a`, whose frames are named
    `a_1`, `a_2` …, is renumbered if other files have such names.
    """
    stems = [result_name(path) for path in paths]
    own = {stem.casefold() for stem in stems}
    frame_owners = {match[1] for stem in own if (match := re.fullmatch(r"(.+)_\d+", stem))}
    taken: set[str] = set()
    names = []
    for path, stem in zip(paths, stems, strict=True):
        name, number = stem, 1
        while (
            name.casefold() in taken
            or (is_video(path) and name.casefold() in frame_owners)
            or (number > 1 and name.casefold() in own)
        ):
            number += 1
            name = f"{stem}{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
