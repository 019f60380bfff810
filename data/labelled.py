"""An image with its labels, as augmentation passes it on: pixels, boxes, perhaps polygons.

data/dataset.py makes these from the index and the decoded images; data/compose.py, data/paste.py
and data/mix.py combine them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


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
    """Read-only pixels [H, W, 3] uint8 RGB, and the labels in these pixels."""

    pixels: np.ndarray
    labels: Labels


Fetch = Callable[[int], LabelledImage]
Result = tuple[np.ndarray, np.ndarray, np.ndarray]  # image [H, W, 3], boxes [N, 4], classes [N]
