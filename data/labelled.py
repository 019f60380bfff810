"""An image with its labels, as augmentation passes it on: pixels, boxes, perhaps polygons.

data/dataset.py makes these from the index and the decoded images; data/compose.py, data/paste.py
and data/mix.py combine them. Pixels are read as late as possible, and only where they are seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data.geometry import Size


@dataclass(frozen=True, slots=True)
class Labels:
    """The N objects of an image, in its pixels.

    Attributes:
        boxes: [N, 4] float32 xyxy.
        classes: [N].
        points: [Q, 2] float32, the corners of all polygons one after the other, or None where there
            are only boxes.
        counts: [N], the number of corners of each polygon, or None.
    """

    boxes: np.ndarray
    classes: np.ndarray
    points: np.ndarray | None = None
    counts: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """Read-only pixels [H, W, 3] uint8 BGR, and the labels in these pixels."""

    pixels: np.ndarray
    labels: Labels

    @property
    def size(self) -> Size:
        """(height, width), pixels."""
        return self.pixels.shape[:2]

    def load(self, rows: int | None = None) -> LabelledImage:
        """The image itself, which has been read."""
        return self


@dataclass(frozen=True, slots=True)
class UnreadImage:
    """An image that is read when its pixels are needed.

    Attributes:
        size: (height, width) that it will have, pixels.
        labels: The labels in these pixels.
        load: Number of rows that are needed, from the top, or None for all -> the image, perhaps
            without the rows below them. One that cannot be read is grey and has no labels.
    """

    size: Size
    labels: Labels
    load: Callable[[int | None], LabelledImage]


Fetch = Callable[[int], LabelledImage | UnreadImage]
Result = tuple[np.ndarray, np.ndarray, np.ndarray]  # image [H, W, 3], boxes [N, 4], classes [N]
