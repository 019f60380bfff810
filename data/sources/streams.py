"""Live sources: cameras and network streams; also the download of an image by its URL.

data/sources/open.py has checked the addresses. Each stream has a thread that reads all the time and
keeps only the newest frame, so that a slow model gets current frames and does not fall behind.
"""

from __future__ import annotations

import http.client
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from data.sources.names import hide_password, is_url, result_names
from utils.errors import UserError
from utils.files import plain_path
from utils.output import Say, print_anywhere
from utils.structures import Frame
from utils.text import printable

MOST_CAMERAS, MOST_DIGITS = 100_000, 9  # OpenCV adds the number of an interface to a camera's
USUAL_FPS = 30.0  # assumed for a stream that reports no frame rate, or an impossible one
ATTEMPTS, PAUSE = 5, 1.0  # attempts to reopen a broken stream, and seconds before each
LARGEST_DOWNLOAD = 256 * 2**20  # bytes of an image
DOWNLOAD_TIMEOUT = 20.0  # seconds without a response
LONGEST_WAIT = 0.05  # seconds for a frame, before the next stream is looked at


class Capture(Protocol):
    """The part of cv2.VideoCapture that a stream needs."""

    def isOpened(self) -> bool: ...

    def get(self, propId: int, /) -> float: ...

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, np.ndarray]: ...

    def release(self) -> None: ...


def open_capture(place: str) -> Capture:
    """Open a camera, URL or file."""
    import cv2

    if place.isdecimal():
        if int(place[:MOST_DIGITS]) > MOST_CAMERAS or len(place) > MOST_DIGITS:
            raise UserError(
                f"--source {printable(place, 40)}: is no camera; they are numbered from 0"
            )
        return cv2.VideoCapture(int(place))
    if is_url(place):
        return cv2.VideoCapture(place)
    with plain_path(place) as path:
        return cv2.VideoCapture(path)


def plausible_fps(fps: float) -> float:
    """Return fps if a camera can have that rate, else USUAL_FPS."""
    # OpenCV reports 0, NaN or 90000 if it does not know the rate.
    return fps if 0.1 <= fps <= 1000 else USUAL_FPS


class StreamReader:
    """A thread that keeps the newest frame of one stream.

    newest() returns each frame at most once. A live stream that breaks is reopened a few times,
    while a recording is over then. Raises UserError if the stream cannot be opened at first.
    """

    def __init__(self, place: str, vid_stride: int = 1) -> None:
        import cv2

        self.place, self.vid_stride = place, vid_stride
        self._capture = open_capture(place)
        if not self._capture.isOpened():
            raise UserError(
                f"--source {hide_password(place)}: cannot be opened; check its address, and that"
                " it is on and free"
            )
        self.fps = plausible_fps(self._capture.get(cv2.CAP_PROP_FPS))
        is_file = not place.isdecimal() and Path(place).is_file()
        self._is_recording = is_file or self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        self._frame: np.ndarray | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.number = 0
        self._thread = threading.Thread(
            target=self._run, name=f"stream {hide_password(place)}", daemon=True
        )
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether no frame is left and none will come."""
        return not self._thread.is_alive() and self._frame is None

    def newest(self, timeout: float = LONGEST_WAIT) -> tuple[np.ndarray, int] | None:
        """The newest frame and its number, or None if no new one arrives within timeout seconds."""
        with self._changed:
            if self._frame is None:
                self._changed.wait(timeout)
            frame, self._frame = self._frame, None
            return None if frame is None else (frame, self.number)

    def close(self) -> None:
        """Stop the thread, which releases the device."""
        self._stop.set()
        self._thread.join(timeout=3.0)  # a daemon stuck in its driver does not delay the exit

    def _run(self) -> None:
        grabbed, failures = 0, 0
        while not self._stop.is_set():
            if self._capture.grab():
                failures = 0
                if grabbed % self.vid_stride == 0:
                    self._keep()
                grabbed += 1
                if self._is_recording:  # a file would otherwise be read as fast as possible
                    self._stop.wait(1 / self.fps)
            elif self._is_recording or failures == ATTEMPTS or not self._reopen():
                break
            else:
                failures += 1
        self._capture.release()
        with self._changed:
            self._changed.notify_all()

    def _keep(self) -> None:
        good, image = self._capture.retrieve()
        if good:
            with self._changed:
                self._frame, self.number = image, self.number + 1
                self._changed.notify_all()

    def _reopen(self) -> bool:
        """Wait a little and open the stream again; False if close() came in between."""
        self._capture.release()
        if self._stop.wait(PAUSE):
            return False
        self._capture = open_capture(self.place)
        return True


class LiveSource:
    """Several streams at once: a frame from each in turn, until all have ended."""

    def __init__(
        self,
        places: list[str],
        vid_stride: int = 1,
        warn: Say = print_anywhere,
    ) -> None:
        self.places, self.warn = places, warn
        self.items = len(places)
        self.skipped: list[tuple[str, str]] = []
        self._names = result_names(places)
        self._readers: list[StreamReader] = []
        try:
            for place in places:
                self._readers.append(StreamReader(place, vid_stride))
        except UserError:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        return chain.from_iterable(self.rounds(1))

    def rounds(self, most: int) -> Iterator[list[Frame]]:
        """The newest frames of at most this many streams, as soon as there is one."""
        live = list(range(self.items))
        while live:
            frames: list[Frame] = []
            for index in list(live):
                # Nobody waits for a slow stream while the frame of another one gets old.
                found = self._readers[index].newest(0.0 if frames else LONGEST_WAIT)
                if found:
                    frames.append(self._frame(index, *found))
                    if len(frames) == most:
                        yield frames
                        frames = []
                elif self._readers[index].ended:
                    self.warn(f"{hide_password(self.places[index])}: the stream has ended")
                    live.remove(index)
            if frames:
                yield frames

    def _frame(self, index: int, image: np.ndarray, number: int) -> Frame:
        reader = self._readers[index]
        return Frame(
            image,
            hide_password(self.places[index]),
            self._names[index],
            "stream",
            item=index + 1,
            items=self.items,
            number=number,
            fps=reader.fps / reader.vid_stride,
        )

    def close(self) -> None:
        """Stop all threads and release their devices."""
        for reader in self._readers:
            reader.close()


def fetch(url: str) -> bytes:
    """The content of an http(s) URL that the user gave. Raises OSError with the reason."""
    request = urllib.request.Request(url, headers={"User-Agent": "detect.py"})
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT) as answer:
            content = answer.read(LARGEST_DOWNLOAD + 1)
    except urllib.error.URLError as error:
        raise OSError(f"cannot be fetched ({error.reason})") from None
    except (http.client.HTTPException, ValueError) as error:  # their text may quote the address
        raise OSError(f"cannot be fetched ({type(error).__name__})") from None
    if len(content) > LARGEST_DOWNLOAD:
        raise OSError(f"is larger than {LARGEST_DOWNLOAD >> 20} MiB")
    return content
