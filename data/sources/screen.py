"""The screen, or an area of it, as a live source: --source "screen [n] [left top width height]"."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from data.sources.streams import plausible_fps
from utils.errors import UserError
from utils.output import Say, print_anywhere
from utils.structures import Frame


@dataclass
class ScreenSource:
    """Repeated captures of an area of the screen: left, top, width, height in pixels."""

    grab: Callable[[dict[str, int]], object]
    area: dict[str, int]
    release: Callable[[], None]
    items = 1

    def __post_init__(self) -> None:
        self.warn: Say = print_anywhere
        self.skipped: list[tuple[str, str]] = []

    def __iter__(self) -> Iterator[Frame]:
        return chain.from_iterable(self.rounds())

    def rounds(self, most: int = 1) -> Iterator[list[Frame]]:
        """A list with the next capture, again and again."""
        began, number = time.monotonic(), 0
        while True:
            image = np.ascontiguousarray(np.asarray(self.grab(self.area))[:, :, :3])
            number += 1
            fps = (
                plausible_fps(number / max(time.monotonic() - began, 1e-6)) if number > 1 else 10.0
            )
            yield [Frame(image, "screen", "screen", "stream", 1, 1, number, 0, fps)]

    def close(self) -> None:
        self.release()


def open_screen(words: list[str]) -> ScreenSource:
    """Open the screen, or the area of it, that the words `[n] [left top width height]` name.

    Screen 0, the default, is all screens together. Raises UserError if there is no such screen.
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
            f"--source screen: cannot be captured here ({error}); a display is needed"
        ) from None
    if not 0 <= number < len(screens):
        raise UserError(f"--source screen {number}: there are screens 0 to {len(screens) - 1}")
    return ScreenSource(camera.grab, screen_area(screens[number], numbers), camera.close)


def screen_area(screen: dict[str, int], part: list[int]) -> dict[str, int]:
    """The area of a part [left, top, width, height] of a screen, or of the whole screen for [].

    part is relative to the screen. The result is relative to all screens together, as mss expects.
    Raises UserError if the part has no pixels.
    """
    if not part:
        return {key: int(screen[key]) for key in ("left", "top", "width", "height")}
    left, top, width, height = part
    if width < 1 or height < 1:
        raise UserError(f"--source screen: an area of {width} x {height} pixels is empty")
    return {
        "left": int(screen["left"]) + left,
        "top": int(screen["top"]) + top,
        "width": width,
        "height": height,
    }
