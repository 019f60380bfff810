"""Terminal and windows of detect.py: a line per image as in YOLOv5, and a bar per video.

Everything starts from a Found, which is a frame of data/sources/open.py with its detections.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch

from engine.drawing.draw import draw_boxes
from engine.inference.writers import class_name
from utils.output import print_anywhere
from utils.structures import Detections, Frame
from utils.terminal import has_errors
from utils.text import printable

if TYPE_CHECKING:
    from tqdm import tqdm


@dataclass(frozen=True, slots=True)
class Found:
    """One frame and what was found in it.

    Attributes:
        frame: The image in its original size, with its place in the source.
        detections: Boxes in pixels of the frame, scores and classes.
        shape: (height, width) of the network's input in pixels.
        times: Seconds of preprocessing, inference and non-maximum suppression.
    """

    frame: Frame
    detections: Detections
    shape: tuple[int, int]
    times: tuple[float, float, float]


def count_text(detections: Detections) -> str:
    """Count the detections of each class: '1 red, 2 green, ', or '(no detections), '."""
    counts = torch.bincount(detections.classes).tolist()
    parts = [
        f"{count} {printable(class_name(detections, class_id))}, "
        for class_id, count in enumerate(counts)
        if count
    ]
    return "".join(parts) or "(no detections), "


def line_of(found: Found) -> str:
    """The line of an image or frame on the console, as YOLOv5 prints it."""
    frame, (height, width) = found.frame, found.shape
    is_stream = frame.kind == "stream"
    where = f"{frame.item - 1}: " if is_stream else f"{frame.kind} {frame.item}/{frame.items} "
    where += f"({frame.number}/{frame.total}) " if frame.kind == "video" else ""
    where += "" if is_stream else f"{printable(frame.path)}: "
    return f"{where}{height}x{width} {count_text(found.detections)}{found.times[1] * 1e3:.1f}ms"


def annotated(
    found: Found,
    line_width: int = 0,
    names: bool = True,
    confidences: bool = True,
    text_height: float = 0.0,
) -> np.ndarray:
    """Draw what was found into a copy of the frame.

    Args:
        found: A frame with its detections.
        line_width: Width of box lines in pixels; 0 derives it from the image size.
        names: Whether boxes have labels.
        confidences: Whether labels include the confidence.
        text_height: Height of labels in pixels; 0 derives it from the line width.

    Returns:
        [H, W, 3] uint8 BGR.
    """
    result = found.detections
    texts = [
        (class_name(result, class_id) + (f" {score:.2f}" if confidences else "")) if names else ""
        for class_id, score in zip(result.classes.tolist(), result.scores.tolist(), strict=True)
    ]
    return draw_boxes(
        found.frame.image,
        result.boxes.numpy(),
        texts,
        result.classes.tolist(),
        line_width,
        text_height,
    )


@dataclass
class Console:
    """Prints the progress of a run: a line per image, a bar per video, the speed at the end.

    frames is the number of frames so far, seconds the total time of each stage.
    """

    frames: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _bar: tqdm[NoReturn] | None = None
    _last: Found | None = None

    def say(self, sentence: str) -> None:
        """Print a sentence, unless it is empty."""
        if sentence:
            print(sentence)

    def show(self, found: Found) -> None:
        """Print a line, or move the bar of the video."""
        self.frames += 1
        self.seconds = [total + step for total, step in zip(self.seconds, found.times, strict=True)]
        # Videos carry no end mark; the first frame with another name shows that one has ended.
        if self._last and self._last.frame.name != found.frame.name:
            self._end_video()
        if found.frame.kind != "video":
            print_anywhere(line_of(found))
            return
        bar = self._bar = self._bar or self._new_bar(found.frame)
        bar.set_postfix_str(count_text(found.detections).rstrip(", "), refresh=False)
        bar.update(1)
        self._last = found

    def _new_bar(self, frame: Frame) -> tqdm[NoReturn]:
        from tqdm import tqdm

        hidden = None if has_errors() else True  # None hides it unless stderr is a terminal
        text = f"video {frame.item}/{frame.items} {printable(Path(frame.path).name)}"
        return tqdm(desc=text, total=frame.total or None, unit="frame", disable=hidden, leave=False)

    def _end_video(self) -> None:
        """Replace the bar by a permanent line, that of the last frame."""
        if self._bar is not None and self._last is not None:
            self._bar.close()
            print_anywhere(line_of(self._last))
        self._bar = self._last = None

    def close(self, shape: tuple[int, int], channels: int = 3) -> None:
        """Print the mean times for a network input of shape (height, width) in pixels."""
        self._end_video()
        if self.frames:
            before, model, after = (total / self.frames * 1e3 for total in self.seconds)
            print(
                f"Speed: {before:.1f}ms pre-process, {model:.1f}ms inference, {after:.1f}ms NMS per"
                f" image at shape (1, {channels}, {shape[0]}, {shape[1]})"
            )


class SilentConsole(Console):
    """Counts frames and prints nothing."""

    def say(self, sentence: str) -> None:
        """Print nothing."""

    def show(self, found: Found) -> None:
        self.frames += 1

    def close(self, shape: tuple[int, int], channels: int = 3) -> None:
        """Print no times."""


def why_no_window() -> str:
    """The reason why --view-img cannot open a window on this machine; "" if it can."""
    import cv2

    # Opening a window without a display aborts the whole process inside OpenCV, so ask first.
    gui = re.search(r"^\s*GUI:\s*(.*)$", cv2.getBuildInformation(), re.MULTILINE)
    if gui is None or gui[1].strip().upper() == "NONE":
        return (
            "this OpenCV is built without windows; opencv-python has them, opencv-python-headless"
            " does not"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display here"
    return ""


class Viewer:
    """Windows with annotated frames; the keys q and Esc end the run."""

    def __init__(self) -> None:
        self.shown = False

    def __call__(self, frame: Frame, drawn: np.ndarray) -> bool:
        """Show an image for a second, or a frame of a video or stream without delay.

        Returns False if the user wants to stop.
        """
        import cv2

        title = printable(frame.path) if frame.kind == "stream" else "detections (q ends)"
        # Images and videos share one window; each stream has its own, so that several can be
        # watched at once.
        if not self.shown or frame.kind == "stream":
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self.shown = True
        cv2.imshow(title, drawn)
        # waitKey also draws the window, so it is called even if nobody presses a key.
        return cv2.waitKey(1000 if frame.kind == "image" else 1) & 0xFF not in (ord("q"), 27)

    def close(self) -> None:
        """Close all windows."""
        if self.shown:
            import cv2

            cv2.destroyAllWindows()
