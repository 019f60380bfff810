"""A video that detect.py writes, which gets its name when it is complete."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from pathlib import Path

import numpy as np

from utils.errors import UserError
from utils.files import plain_path
from utils.writing import OutputError, temporary_beside

SPARE_BYTES, LOOK_EVERY = 2**22, 30  # left for the index of a video; frames between two looks
LONGEST_GAP = 5.0  # seconds of a stalled stream to fill by repeating a frame, at most


class VideoFile:
    """An .mp4 file (codec mp4v) that gets its name when it is complete."""

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        """Open the file.

        Args:
            path: Path of the complete file.
            fps: Frames per second; an impossible value becomes 30, since some cameras report 0.
            size: (width, height) of the frames in pixels.

        Raises:
            UserError: OpenCV cannot write this video.
        """
        import cv2

        self.path, self.size = path, size
        self.fps = fps if 0.1 <= fps <= 1000 else 30.0
        # The suffix stays .mp4, since OpenCV chooses the container by it.
        self._temporary = temporary_beside(path, ".mp4")
        with plain_path(path.parent) as folder:
            place = f"{folder}/{self._temporary.name}"
            self._writer = cv2.VideoWriter(place, cv2.VideoWriter.fourcc(*"mp4v"), self.fps, size)
        self._number = self._calls = 0
        if not self._writer.isOpened():
            self._remove()
            raise UserError(
                f"{path}: OpenCV cannot write this video; free some space, or use --nosave with"
                " --save-txt"
            )

    def add(self, image: np.ndarray, number: int) -> None:
        """Append a frame [H, W, 3] uint8 BGR with its number in the video or stream."""
        import cv2

        if (image.shape[1], image.shape[0]) != self.size:  # a camera may change its mode
            image = cv2.resize(image, self.size)
        # A frame is repeated for those that a stream dropped before it; otherwise the video would
        # play too fast.
        missing = number - self._number - 1 if self._number else 0
        if self._calls % LOOK_EVERY == 0:
            self._check_space()
        self._calls += 1
        for _ in range(1 + min(max(0, missing), int(self.fps * LONGEST_GAP))):
            self._writer.write(image)
        self._number = number

    def _check_space(self) -> None:
        """Raise UserError while the file can still be completed, if the disk is nearly full.

        OpenCV reports no failed write, and a file without its index cannot be played.
        """
        try:
            if shutil.disk_usage(self.path.parent).free >= SPARE_BYTES:
                return
            reason = f"the disk is nearly full, the video ends after frame {self._number}"
            error = OSError(errno.ENOSPC, reason)
        except OSError as failure:  # the folder has vanished
            error = failure
        raise OutputError(self.path, error)

    def close(self) -> None:
        """Complete the file and give it its name. Raises UserError if the disk is full."""
        self._writer.release()
        if not self._number:  # not even the first frame could be written, as has been said
            self._remove()
            return
        try:
            # OpenCV reports no error when a write fails, but then the file lacks its index.
            if not is_whole_mp4(self._temporary):
                raise OutputError(self.path, OSError(errno.ENOSPC, "OpenCV wrote no whole video"))
            os.replace(self._temporary, self.path)
        except OSError as error:
            raise OutputError(self.path, error) from None
        finally:
            self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def is_whole_mp4(path: Path) -> bool:
    """Whether an MP4 file has its index, the box `moov`, which is written last.

    ISO/IEC 14496-12, 4.2: a box begins with its size and its kind, of four bytes each; a size of 1
    is followed by one of eight bytes.
    """
    end = path.stat().st_size
    with open(path, "rb") as file:
        while (start := file.tell()) < end:
            head = file.read(16)
            size, kind = int.from_bytes(head[:4], "big"), head[4:8]
            size = int.from_bytes(head[8:16], "big") if size == 1 else size
            if kind == b"moov":
                return start + size <= end
            if size < 8:
                break
            file.seek(start + size)
    return False
