"""Frames of the text after --source: images, videos, folders, globs, lists, live sources.

A Frame is one image in its original size, with the name of its results. Live sources (cameras,
streams, the screen) are in data/sources/streams.py.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict
from urllib.parse import urlsplit

from data.image_formats import UNREAD_SUFFIXES, unread_remedy
from data.image_header import ImageError
from data.images import decode_image, read_image
from data.sources.listing import find_line, notes_on_folder, source_lines
from data.sources.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_url,
    hide_password,
    is_url,
    is_video,
    result_names,
    suffix_of,
)
from utils.errors import UserError
from utils.files import ROOT, check_path
from utils.output import print_anywhere
from utils.regular_file import open_regular
from utils.structures import Frame
from utils.text import printable

if TYPE_CHECKING:
    from data.sources.streams import LiveSource

MOST_SHOWN = 100  # validation images that a run without --source takes


class Source(Protocol):
    """An iterable of Frames; skipped holds (path, reason) of each file that could not be read."""

    skipped: list[tuple[str, str]]

    @property
    def items(self) -> int:
        """The number of images, videos or streams."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Stop threads and devices."""


class FramePlace(TypedDict):
    """The fields of a Frame that all frames of a file share."""

    path: str
    name: str
    item: int
    items: int


@dataclass
class FileSource:
    """Images and videos, files or URLs, in order.

    What cannot be read is reported through warn and listed in skipped.
    """

    paths: Sequence[str]
    vid_stride: int = 1
    warn: Callable[[str], None] = print_anywhere
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def items(self) -> int:
        return len(self.paths)

    def close(self) -> None:
        """Do nothing; a video closes its file itself."""

    def __iter__(self) -> Iterator[Frame]:
        for item, (path, name) in enumerate(
            zip(self.paths, result_names(self.paths), strict=True), 1
        ):
            place: FramePlace = {
                "path": hide_password(path),
                "name": name,
                "item": item,
                "items": self.items,
            }
            yield from self._video(path, place) if is_video(path) else self._image(path, place)

    def _skip(self, path: str, reason: str) -> None:
        self.skipped.append((hide_password(path), reason))
        self.warn(f"skipped {printable(hide_password(path))}: {printable(reason)}")

    def _image(self, path: str, place: FramePlace) -> Iterator[Frame]:
        from data.sources.streams import fetch

        try:
            image = decode_image(fetch(path)) if is_url(path) else read_image(path)
        except (ImageError, OSError) as error:
            self._skip(path, str(error))
            return
        yield Frame(image, **place)

    def _video(self, path: str, place: FramePlace) -> Iterator[Frame]:
        import cv2

        from data.sources.streams import open_capture

        try:
            if not is_url(path):
                open_regular(path).close()  # OpenCV would wait for a named pipe
        except (OSError, ValueError) as error:
            self._skip(path, getattr(error, "strerror", None) or str(error))
            return
        capture = open_capture(path)
        try:
            fps = capture.get(cv2.CAP_PROP_FPS) / self.vid_stride
            recorded = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            total, number = -(-recorded // self.vid_stride), 0
            while capture.grab():
                good, image = capture.retrieve()
                if not good:
                    break
                number += 1
                yield Frame(image, kind="video", number=number, total=total, fps=fps, **place)
                for _ in range(self.vid_stride - 1):
                    capture.grab()
        finally:
            capture.release()
        if not number:
            self._skip(path, "no frame of this video can be decoded")
        elif number < 0.9 * total - 2:  # containers often claim a frame or two too many
            self.warn(
                f"{printable(hide_password(path))}: ends after {number} of {total} frames, it is"
                " damaged or cut short"
            )


def open_source(
    text: str, vid_stride: int = 1, warn: Callable[[str], None] = print_anywhere
) -> Source:
    """Open the source that --source names.

    Args:
        text: An image, video, folder (its own files), glob (recursive with **), .txt list of these,
            .streams list, camera number, rtsp/rtmp/http(s) URL, or `screen [n] [left top width
            height]`.
        vid_stride: Take every vid_stride-th frame of a video or stream.
        warn: Called with a line for each file that could not be read.

    Returns:
        The source. It reads from the network only if text, or the list that it names, holds a URL.

    Raises:
        UserError: The source is missing or not supported.
    """
    text = str(text).strip()
    words = text.split()
    if words and words[0].lower() == "screen" and not Path(text).exists():
        from data.sources.streams import open_screen

        return open_screen(words[1:])
    if text.lower().endswith(".streams"):
        return _open_live([line for _, line in source_lines(Path(text))], vid_stride, warn, text)
    if text.isdecimal() or (is_url(text) and not _is_media_url(text)):
        return _open_live([text], vid_stride, warn, text)
    paths = expand(text)
    if Path(text).is_dir():
        for note in notes_on_folder(Path(text), paths):
            warn(note)
    return FileSource(paths, vid_stride, warn)


def _open_live(
    places: list[str], vid_stride: int, warn: Callable[[str], None], origin: str
) -> LiveSource:
    from data.sources.streams import LiveSource

    origin = hide_password(origin)
    if not places:
        raise UserError(
            f"--source {origin}: names no stream; write one URL or camera number per line"
        )
    for place in places:
        if is_url(place):
            check_url(place)
        elif not place.isdecimal():
            check_path(place, f"--source {origin}: ")
            if not Path(place).is_file():
                raise UserError(f"--source {origin}: {place} is not a URL, camera number or file")
    return LiveSource(places, vid_stride, warn)


def _is_media_url(url: str) -> bool:
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
        return _media(sorted(glob.glob(text, recursive=True)), text)
    if path.exists():
        raise UserError(f"--source {text}: is neither a file nor a folder; copy it to a file")
    raise UserError(f"--source {text}: no such file or folder; check the path")


def _media(files: Sequence[str], origin: str) -> list[str]:
    """The files that are images or videos by their suffix. Raises UserError if none is."""
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    # What is no regular file stays, so that reading it says so.
    found = [file for file in files if suffix_of(file) in known and not Path(file).is_dir()]
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
        if is_url(line):
            if not _is_media_url(line):
                raise UserError(
                    f"{path}:{number}: {hide_password(line)} is a stream; list streams in a"
                    " .streams file"
                )
            found.append(line)
            continue
        check_path(line, f"{path}:{number}: ")
        try:
            found.extend(expand(find_line(line, path.parent)))
        except UserError as error:
            raise UserError(f"{path}:{number}: {str(error).removeprefix('--source ')}") from None
    if not found:
        raise UserError(f"--source {path}: is an empty list; write one path per line")
    return found


def usual_source(data: str) -> FileSource:
    """The default source: data/images, or validation images of the model's data set."""
    if (ROOT / "data" / "images").is_dir():
        return FileSource(expand(str(ROOT / "data" / "images")))
    if not data:
        raise UserError("--source: give an image, video, folder, list, camera number or URL")
    from data.scanning.load import load_dataset

    index = load_dataset(data, "val")
    paths = [index.path(number) for number in range(min(len(index), MOST_SHOWN))]
    print(f"--source: {len(paths)} of {len(index)} validation images of {data}")
    return FileSource(paths)
