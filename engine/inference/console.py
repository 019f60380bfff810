"""What detect.py tells: a line per image as YOLOv5 prints it, a bar per video, windows where
there is a display.

From: Found, a frame of data/sources/open.py with its detections. To: the terminal and the screen.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.drawing.draw import draw_boxes
from engine.inference.writers import class_name
from utils.structures import Detections, Frame


@dataclass(frozen=True, slots=True)
class Found:
    """One frame and what is in it. shape: (height, width) of the network's input. times: seconds of
    each stage.
    """

    frame: Frame
    detections: Detections
    shape: tuple[int, int]
    times: tuple[float, float, float]


def count_text(detections: Detections) -> str:
    """'1 red, 2 greens, ' by class number, or '(no detections), '."""
    counts = torch.bincount(detections.classes).tolist()
    parts = [
        f"{count} {class_name(detections, class_id)}{'s' if count > 1 else ''}, "
        for class_id, count in enumerate(counts)
        if count
    ]
    return "".join(parts) or "(no detections), "


def line_of(found: Found) -> str:
    """A image's or frame's line on the console, as YOLOv5 prints it."""
    frame, (height, width) = found.frame, found.shape
    kind = "image" if frame.kind == "image" else frame.kind
    where = f"{frame.item - 1}: " if kind == "stream" else f"{kind} {frame.item}/{frame.items} "
    where += f"({frame.number}/{frame.total}) " if frame.kind == "video" else ""
    where += "" if frame.kind == "stream" else f"{frame.path}: "
    return f"{where}{height}x{width} {count_text(found.detections)}{found.times[1] * 1e3:.1f}ms"


def annotated(
    found: Found, line_width: int = 0, names: bool = True, confidences: bool = True
) -> np.ndarray:
    """A copy of the frame with what was found in it. line_width: pixels, 0 for what suits the
    image.
    """
    result = found.detections
    texts = [
        (class_name(result, class_id) + (f" {score:.2f}" if confidences else "")) if names else ""
        for class_id, score in zip(result.classes.tolist(), result.scores.tolist(), strict=True)
    ]
    return draw_boxes(
        found.frame.image, result.boxes.numpy(), texts, result.classes.tolist(), line_width
    )


@dataclass
class Console:
    """Tells how the run goes: a line per image, a bar per video, the speed at the end."""

    frames: int = 0
    seconds: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    _bar: Any = None
    _last: Found | None = None

    def show(self, found: Found) -> None:
        self.frames += 1
        self.seconds = [total + step for total, step in zip(self.seconds, found.times, strict=True)]
        if self._last and self._last.frame.name != found.frame.name:
            self._end_video()
        if found.frame.kind != "video":
            print(line_of(found))
            return
        if self._bar is None:
            from tqdm import tqdm

            frame = found.frame
            text = f"video {frame.item}/{frame.items} {Path(frame.path).name}"
            self._bar = tqdm(
                desc=text, total=frame.total or None, unit="frame", disable=None, leave=False
            )
        self._bar.set_postfix_str(count_text(found.detections).rstrip(", "), refresh=False)
        self._bar.update(1)
        self._last = found

    def _end_video(self) -> None:
        """Replace the bar by one line that stays: that of the last frame."""
        if self._bar is not None and self._last is not None:
            self._bar.close()
            print(line_of(self._last))
        self._bar = self._last = None

    def close(self, shape: tuple[int, int]) -> None:
        self._end_video()
        if self.frames:
            before, model, after = (total / self.frames * 1e3 for total in self.seconds)
            print(
                f"Speed: {before:.1f}ms pre-process, {model:.1f}ms inference, {after:.1f}ms NMS per"
                f" image at shape (1, 3, {shape[0]}, {shape[1]})"
            )


def why_no_window() -> str:
    """Why --view-img cannot show anything here; "" if it can."""
    import cv2

    gui = re.search(r"^\s*GUI:\s*(.*)$", cv2.getBuildInformation(), re.MULTILINE)
    if gui is None or gui[1].strip().upper() == "NONE":
        return (
            "this OpenCV is built without windows (opencv-python has them, opencv-python-headless"
            " has not)"
        )
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return "there is no display here"
    return ""


class Viewer:
    """Windows with what was found; q or Esc ends the run."""

    def __init__(self) -> None:
        self.shown = False

    def __call__(self, frame: Frame, drawn: np.ndarray) -> bool:
        """Show a image for a second, a video's or stream's frame at once; False if the user wants
        to stop.
        """
        import cv2

        title = frame.path if frame.kind == "stream" else "detections (q ends)"
        if not self.shown or frame.kind == "stream":
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        self.shown = True
        cv2.imshow(title, drawn)
        return cv2.waitKey(1000 if frame.kind == "image" else 1) & 0xFF not in (ord("q"), 27)

    def close(self) -> None:
        if self.shown:
            import cv2

            cv2.destroyAllWindows()
