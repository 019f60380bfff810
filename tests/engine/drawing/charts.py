"""What the tests of charts share: class names that are hard to draw, and the image in a file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

NAMES = {
    1: ["猫"],
    3: ["red", "$x$", "_кот\n"],
    80: [f"class number {number}" for number in range(80)],
}


def read_image(path: Path) -> np.ndarray:
    """The chart in a file, which must not be blank."""
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 5, "a blank image"
    return image
