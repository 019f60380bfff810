"""Live sources: cameras, network streams, the screen; and the one place that fetches an image by
its URL.

From: places that data/sources/open.py has checked. To: Frames. Each stream has a thread that reads
all the time and keeps only the newest frame, so that a slow model sees the present and not a
growing past.
"""

from __future__ import annotations

import http.client
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.sources.names import result_names, shown
from utils.errors import UserError
from utils.structures import Frame

USUAL_FPS = 30.0  # of a stream that does not tell, or tells nonsense
ATTEMPTS, PAUSE = 5, 1.0  # to reopen a stream that broke off: how often, and seconds between
LARGEST_DOWNLOAD = 256 * 2**20  # bytes of an image
PATIENCE = 20.0  # seconds without an answer


def _capture(place: str) -> Any:
    import cv2

    return cv2.VideoCapture(int(place) if place.isdecimal() else place)


def plausible_fps(fps: float) -> float:
    """fps itself if a camera can have it, else 30.

    (OpenCV gives 0, NaN, or 90000 where it does not know.)
    """
    return fps if 0.1 <= fps <= 1000 else USUAL_FPS


class StreamReader:
    """A thread that keeps the newest frame of one stream.

    newest() gives each frame at most once. A stream that breaks off is opened again a few times; a
    recording ends. Raises UserError if it cannot be opened at first.
    """

    def __init__(
        self, place: str, vid_stride: int = 1, opener: Callable[[str], Any] = _capture
    ) -> None:
        import cv2

        self.place, self.vid_stride, self._opener = place, vid_stride, opener
        self._capture = opener(place)
        if not self._capture.isOpened():
            raise UserError(
                f"--source {shown(place)}: cannot be opened; check its address, and that it is on"
                " and free"
            )
        self.fps = plausible_fps(self._capture.get(cv2.CAP_PROP_FPS))
        is_file = not place.isdecimal() and Path(place).is_file()
        self._is_recording = is_file or self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0
        self._frame: np.ndarray | None = None
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self.number = 0
        self._thread = threading.Thread(
            target=self._run, name=f"stream {shown(place)}", daemon=True
        )
        self._thread.start()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive() and self._frame is None

    def newest(self, timeout: float = 0.05) -> tuple[np.ndarray, int] | None:
        """The newest frame and its number, once; None if none came within timeout seconds."""
        with self._changed:
            if self._frame is None:
                self._changed.wait(timeout)
            frame, self._frame = self._frame, None
            return None if frame is None else (frame, self.number)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(
            timeout=3.0
        )  # a daemon: one stuck in its driver does not hold up the exit

    def _run(self) -> None:
        grabbed, failures = 0, 0
        while not self._stop.is_set():
            if self._capture.grab():
                failures = 0
                if grabbed % self.vid_stride == 0:
                    self._keep()
                grabbed += 1
                if self._is_recording:  # nothing slows it down: play it as a camera would
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
        """Wait a little and open the stream anew; False when close() came in between."""
        self._capture.release()
        if self._stop.wait(PAUSE):
            return False
        self._capture = self._opener(self.place)
        return True


class LiveSource:
    """Several streams at once, a frame of each in turn, until all have ended or close() is called."""

    def __init__(
        self,
        places: list[str],
        vid_stride: int = 1,
        warn: Callable[[str], None] = print,
        opener: Callable[[str], Any] = _capture,
    ) -> None:
        self.places, self.warn = places, warn
        self.items = len(places)
        self.skipped: list[tuple[str, str]] = []
        self._names = result_names(places)
        self._readers: list[StreamReader] = []
        try:
            for place in places:
                self._readers.append(StreamReader(place, vid_stride, opener))
        except UserError:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        live = list(range(self.items))
        while live:
            for index in list(live):
                reader = self._readers[index]
                found = reader.newest()
                if found:
                    yield Frame(found[0], shown(self.places[index]), self._names[index], "stream",
                                index + 1, self.items, found[1], 0, reader.fps / reader.vid_stride)  # fmt: skip
                elif reader.ended:
                    self.warn(f"{shown(self.places[index])}: the stream has ended")
                    live.remove(index)

    def close(self) -> None:
        """Stop all threads and let the devices go."""
        for reader in self._readers:
            reader.close()


@dataclass
class ScreenSource:
    """The screen, or a part of it, again and again. area: left, top, width, height in pixels."""

    grab: Callable[[dict[str, int]], Any]
    area: dict[str, int]
    release: Callable[[], None]
    items = 1

    def __post_init__(self) -> None:
        self.skipped: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Frame]:
        began, number = time.monotonic(), 0
        while True:
            image = np.ascontiguousarray(np.asarray(self.grab(self.area))[:, :, :3])
            number += 1
            fps = (
                plausible_fps(number / max(time.monotonic() - began, 1e-6)) if number > 1 else 10.0
            )
            yield Frame(image, "screen", "screen", "stream", 1, 1, number, 0, fps)

    def close(self) -> None:
        self.release()


def open_screen(words: list[str]) -> ScreenSource:
    """`[n] [left top width height]` -> the screen with that number (0: all together), or an area of
    it.
    """
    if len(words) not in (0, 1, 4, 5) or not all(word.lstrip("-").isdecimal() for word in words):
        raise UserError(
            "--source screen: write `screen [n] [left top width height]`, in whole numbers"
        )
    try:
        import mss
    except ImportError:
        raise UserError("--source screen: needs the package mss; pip install mss") from None
    numbers = [int(word) for word in words]
    number = numbers.pop(0) if len(numbers) in (1, 5) else 0
    try:
        camera = mss.mss()
        screens = camera.monitors
    except mss.exception.ScreenShotError as error:
        raise UserError(
            f"--source screen: cannot be seen from here ({error}); a display is needed"
        ) from None
    if not 0 <= number < len(screens):
        raise UserError(f"--source screen {number}: there are screens 0 to {len(screens) - 1}")
    return ScreenSource(camera.grab, screen_area(screens[number], numbers), camera.close)


def screen_area(screen: dict[str, int], part: list[int]) -> dict[str, int]:
    """The part (left, top, width, height, relative to the screen) as mss wants it; the whole screen
    for [].
    """
    if not part:
        return {key: int(screen[key]) for key in ("left", "top", "width", "height")}
    left, top, width, height = part
    if width < 1 or height < 1:
        raise UserError(f"--source screen: an area of {width} x {height} pixels is none")
    return {
        "left": int(screen["left"]) + left,
        "top": int(screen["top"]) + top,
        "width": width,
        "height": height,
    }


def fetch(url: str) -> bytes:
    """The content of an http(s) URL that the user gave. Raises OSError with a reason: no answer,
    refused, too large.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "detect.py"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            content = answer.read(LARGEST_DOWNLOAD + 1)
    except urllib.error.URLError as error:
        raise OSError(f"cannot be fetched ({error.reason})") from None
    except http.client.HTTPException as error:
        raise OSError(f"cannot be fetched ({type(error).__name__})") from None
    if len(content) > LARGEST_DOWNLOAD:
        raise OSError(f"is larger than {LARGEST_DOWNLOAD >> 20} MiB")
    return content
