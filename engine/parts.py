"""A batch is run in parts: on a processor by a few images, elsewhere if the memory is too small."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch

from utils.errors import lacks_memory

T = TypeVar("T")
# What a processor computes at once: 4 images of 640 px, the fastest of 1, 2, 3, 4, 5 and 8 for
# yolov5n, yolov5s and yolov8n (LOG.md). The C library returns most larger maps to the system each
# time, which then clears their memory anew.
PROCESSOR_PIXELS = 4 * 640 * 640


class Parts:
    """Works on batches, in parts where that is faster or the memory is too small.

    Attributes:
        most: Images of a part; 0 as long as the memory sufficed.
        whole: Images that did not fit at once.
    """

    def __init__(self) -> None:
        self.most, self.whole = 0, 0

    def run(self, work: Callable[[slice], T], count: int, usual: int) -> list[T]:
        """Do the work on each part, and again on halves as long as the memory is too small.

        Args:
            work: Called with the places of a part's images in the batch; each image must be
                computed for itself.
            count: Images of the batch.
            usual: Images of a part as long as the memory suffices, as usual_part() gives them.

        Returns:
            What it returns for each part.

        Raises:
            RuntimeError: Torch's own error, if a single image does not fit.
        """
        size = min(self.most or usual, usual, count)
        while True:
            try:
                return [work(slice(start, start + size)) for start in range(0, count, size)]
            except (MemoryError, RuntimeError) as error:
                if size == 1 or not lacks_memory(error):
                    raise
            # Outside the handler, which keeps the tensors of the failed call alive.
            self.whole = max(self.whole, size)
            self.most = size = (size + 1) // 2

    @property
    def notes(self) -> list[str]:
        """What a reader of the results must know."""
        if not self.most:
            return []
        return [
            f"the memory was too small to validate {self.whole} images at once, so they were run"
            f" {self.most} at a time, which is slower; the scores are the same up to rounding"
        ]


def usual_part(count: int, size: tuple[int, int], device: torch.device) -> int:
    """How many of `count` images of a size (height, width) in pixels are computed at once.

    The number of parts is the least possible, and their size the least for that number, so that
    the last part is seldom much smaller than the others, which would be slow for its size.
    """
    if device.type != "cpu":
        return count
    most = max(PROCESSOR_PIXELS // (size[0] * size[1]), 1)
    return math.ceil(count / math.ceil(count / most))
