"""One image of a data set's index with its labels, before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the index with its labels, without its pixels.

    Attributes:
        path: Path of the image.
        size: (height, width) after EXIF rotation.
        boxes: [N, 4] float32 xyxy, pixels of the original image.
        classes: [N] int64.
        segments: N polygons [P, 2] float32 in the same pixels, or () if there are none.
        ignored: [K, 6] float32, objects that are neither learnt nor scored: class, xyxy in the same
            pixels, and 1 for a crowd.
    """

    path: str
    size: tuple[int, int]
    boxes: np.ndarray
    classes: np.ndarray
    segments: tuple[np.ndarray, ...] = ()
    ignored: np.ndarray = field(default_factory=lambda: np.zeros((0, 6), np.float32))
