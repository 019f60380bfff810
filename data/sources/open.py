"""What detect.py looks at: images, videos, folders, globs, lists, cameras, streams, the screen.

From: the text after --source. To: Frames, one image each, in original size, with the name its
results are to have. Live sources (cameras, streams, the screen) are in data/sources/streams.py.
Nothing here writes a file that stays.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from data.image_header import ImageError
from data.images import decode_image, read_image
from data.sources.names import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    is_url,
    is_video,
    result_names,
    shown,
    suffix_of,
)
from utils.errors import UserError
from utils.files import ROOT
from utils.structures import Frame

if TYPE_CHECKING:
    from data.sources.streams import LiveSource

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")
VIDEO_SITES = ("youtube.com", "youtu.be")
MOST_SHOWN = 100  # validation images that a run without --source looks at


class Source(Protocol):
    """Iterable of Frames. skipped: (path, reason) of what could not be read; close() stops threads
    and devices.
    """

    skipped: list[tuple[str, str]]

    @property
    def items(self) -> int: ...

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None: ...


@dataclass
class FileSource:
    """Images and videos, files or URLs, in order.

    What cannot be read is told through warn and skipped.
    """

    paths: Sequence[str]
    vid_stride: int = 1
    warn: Callable[[str], None] = print
    skipped: list[tuple[str, str]] = field(default_factory=list)

    @property
    def items(self) -> int:
        return len(self.paths)

    def close(self) -> None:
        """Nothing stays open between frames."""

    def __iter__(self) -> Iterator[Frame]:
        for item, (path, name) in enumerate(
            zip(self.paths, result_names(self.paths), strict=True), 1
        ):
            place = {"path": shown(path), "name": name, "item": item, "items": self.items}
            yield from self._video(path, place) if is_video(path) else self._image(path, place)

    def _skip(self, path: str, reason: str) -> None:
        self.skipped.append((shown(path), reason))
        self.warn(f"skipped {shown(path)}: {reason}")

    def _image(self, path: str, place: dict) -> Iterator[Frame]:
        from data.sources.streams import fetch

        try:
            image = decode_image(fetch(path)) if is_url(path) else read_image(path)
        except (ImageError, OSError) as error:
            self._skip(path, str(error))
            return
        yield Frame(image, **place)

    def _video(self, path: str, place: dict) -> Iterator[Frame]:
        import cv2

        capture = cv2.VideoCapture(path)
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
        elif number < 0.9 * total - 2:
            self.warn(
                f"{shown(path)}: ends after {number} of {total} frames, it is damaged or cut short"
            )


def open_source(text: str, vid_stride: int = 1, warn: Callable[[str], None] = print) -> Source:
    """Turn --source into frames.

    text: an image, video, folder (its own files), glob (recursive with **), .txt list of such,
    .streams list, camera number, rtsp/rtmp/http(s) URL, or `screen [n] [left top width height]`.
    Nothing is read from the network unless text, or the list it names, holds a URL. Raises
    UserError naming what is missing or not supported.
    """
    text = str(text).strip()
    words = text.split()
    if words and words[0].lower() == "screen" and not Path(text).exists():
        from data.sources.streams import open_screen

        return open_screen(words[1:])
    if text.lower().endswith(".streams"):
        return _open_live([line for _, line in _lines(Path(text))], vid_stride, warn, text)
    if text.isdecimal() or (is_url(text) and not _is_media_url(text)):
        return _open_live([text], vid_stride, warn, text)
    return FileSource(expand(text), vid_stride, warn)


def _open_live(
    places: list[str], vid_stride: int, warn: Callable[[str], None], origin: str
) -> LiveSource:
    from data.sources.streams import LiveSource

    if not places:
        raise UserError(
            f"--source {origin}: names no stream; write one URL or camera number a line"
        )
    for place in places:
        if is_url(place):
            _check_url(place)
        elif not place.isdecimal() and not Path(place).is_file():
            raise UserError(f"--source {origin}: {place} is no URL, camera number or file")
    return LiveSource(places, vid_stride, warn)


def _is_media_url(url: str) -> bool:
    """True if the URL is that of an image or video file, to be read whole; False for an endless
    stream.
    """
    _check_url(url)
    return (
        urlsplit(url).scheme.lower() in ("http", "https")
        and suffix_of(url) in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    )


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if scheme == "file":
        raise UserError(f"--source {url}: give the plain path, without file://")
    if scheme not in STREAM_SCHEMES or not host:
        raise UserError(f"--source {shown(url)}: is no URL of {', '.join(STREAM_SCHEMES)}")
    if any(host == site or host.endswith("." + site) for site in VIDEO_SITES):
        raise UserError(
            f"--source {url}: is a web page, not a video; save the video with yt-dlp and give its"
            " file"
        )


def expand(text: str) -> list[str]:
    """The image and video paths that text stands for. Raises UserError if there are none."""
    if is_url(text):
        return [text]
    if not text:
        raise UserError(
            "--source: is empty; give an image, video, folder, list, camera number or URL"
        )
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
    raise UserError(f"--source {text}: no such file or folder; check the path")


def _media(files: Iterable[str], origin: str) -> list[str]:
    """Those files that are images or videos by their suffix; UserError if none is."""
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    found = [file for file in files if suffix_of(file) in known and Path(file).is_file()]
    if not found:
        raise UserError(
            f"--source {origin}: holds no image or video; suffixes known are"
            f" {' '.join(sorted(known))}"
        )
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines of a list, blank ones and `# comments` left out."""
    try:
        rows = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(
            f"--source {path}: cannot be read ({error.strerror}); check the path"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"--source {path}: is not UTF-8 text; save the list as UTF-8") from None
    return [
        (number, row.strip())
        for number, row in enumerate(rows, 1)
        if row.strip() and not row.startswith("# ")
    ]


def _read_list(path: Path) -> list[str]:
    """Paths, folders, globs and media URLs, one a line, relative to the working folder or else to
    the list's own.
    """
    found: list[str] = []
    for number, line in _lines(path):
        if is_url(line):
            if not _is_media_url(line):
                raise UserError(
                    f"{path}:{number}: {shown(line)} is a stream; list streams in a .streams file"
                )
            found.append(line)
            continue
        beside = str(path.parent / line)
        there = Path(line).exists() or glob.glob(line, recursive=True)
        try:
            found.extend(expand(line if there else beside))
        except UserError as error:
            raise UserError(f"{path}:{number}: {str(error).removeprefix('--source ')}") from None
    if not found:
        raise UserError(f"--source {path}: is an empty list; write one path a line")
    return found


def usual_source(data: str) -> FileSource:
    """What is looked at without --source: validation images of the model's data set, or the
    folder data/images.
    """
    if (ROOT / "data" / "images").is_dir():
        return FileSource(expand(str(ROOT / "data" / "images")))
    if not data:
        raise UserError("--source: give an image, video, folder, list, camera number or URL")
    from data.scanning.load import load_dataset

    index = load_dataset(data, "val")
    shown = [index[number].path for number in range(min(len(index), MOST_SHOWN))]
    print(f"--source: {len(shown)} of {len(index)} validation images of {data}")
    return FileSource(shown)
