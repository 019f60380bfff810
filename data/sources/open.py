"""Frames of the text after --source: images, videos, folders, globs, lists, live sources.

A Frame is one image in its original size, with the name of its results. Live sources (cameras,
streams, the screen) are in data/sources/streams.py and screen.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict, runtime_checkable

from data.image_header import ImageError
from data.images import decode_image, read_image
from data.sources.listing import notes_on_folder, source_lines
from data.sources.names import (
    check_url,
    hide_password,
    is_url,
    is_video,
    result_names,
)
from data.sources.paths import expand, is_media_url
from utils.errors import UserError
from utils.files import ROOT, check_path
from utils.output import Say, print_anywhere
from utils.regular_file import open_regular
from utils.structures import Frame
from utils.text import printable

if TYPE_CHECKING:
    from data.sources.streams import LiveSource

MOST_SHOWN = 100  # validation images that a run without --source takes


class Source(Protocol):
    """An iterable of Frames; skipped holds (path, reason) of each file that could not be read.

    warn is called with a line for each of them, and may be replaced.
    """

    skipped: list[tuple[str, str]]
    warn: Say

    @property
    def items(self) -> int:
        """The number of images, videos or streams."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Stop threads and devices."""


@runtime_checkable
class LiveFrames(Protocol):
    """A Source whose frames are worth most at once: cameras, streams, the screen."""

    @property
    def items(self) -> int:
        """The number of streams."""

    def rounds(self, most: int) -> Iterator[list[Frame]]:
        """The newest frames of at most this many streams, as soon as there is one."""


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
    warn: Say = print_anywhere
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


def open_source(text: str, vid_stride: int = 1, warn: Say = print_anywhere) -> Source:
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
        from data.sources.screen import open_screen

        return open_screen(words[1:])
    if text.lower().endswith(".streams"):
        return _open_live([line for _, line in source_lines(Path(text))], vid_stride, warn, text)
    if text.isdecimal() or (is_url(text) and not is_media_url(text)):
        return _open_live([text], vid_stride, warn, text)
    paths = expand(text)
    if Path(text).is_dir():
        for note in notes_on_folder(Path(text), paths):
            warn(note)
    return FileSource(paths, vid_stride, warn)


def _open_live(places: list[str], vid_stride: int, warn: Say, origin: str) -> LiveSource:
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


def usual_source(data: str) -> FileSource:
    """The default source: data/images, or validation images of the model's data set."""
    if (ROOT / "data" / "images").is_dir():
        return FileSource(expand(str(ROOT / "data" / "images")))
    if not data:
        raise UserError("--source: give an image, video, folder, list, camera number or URL")
    from data.scanning.load import load_dataset

    try:
        index = load_dataset(data, "val")
    except UserError as error:
        raise UserError(
            "--source is not given, and the data set of the weights cannot be used instead"
            f" ({error}); give an image, video, folder, list, camera number or URL"
        ) from None
    paths = [index.path(number) for number in range(min(len(index), MOST_SHOWN))]
    print(f"--source: {len(paths)} of {len(index)} validation images of {data}")
    return FileSource(paths)
