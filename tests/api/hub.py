"""What the tests of the torch.hub models share."""

from __future__ import annotations

import numpy as np


def noise_image(height: int = 60, width: int = 90) -> np.ndarray:
    """RGB noise."""
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
