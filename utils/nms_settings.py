"""The settings of non-maximum suppression, which utils/nms.py does.

They are a module of their own, so that the flags of programs are read without importing torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from utils.errors import UserError

MOST_CANDIDATES = 30000  # per image, the highest scores


@dataclass(frozen=True, slots=True)
class NMSSettings:
    """Which detections are kept. A value out of range raises UserError.

    Attributes:
        conf: A box is kept if its score is above this, 0..1.
        iou: A box is dropped if its IoU with a better one of its class is above this, 0..1.
        max_det: Maximum number of detections of an image.
        classes: Class numbers to keep; None for all.
        agnostic: Whether boxes of different classes suppress each other.
        multi_label: Whether a box may have several classes.
    """

    conf: float = 0.25
    iou: float = 0.45
    max_det: int = 300
    classes: tuple[int, ...] | None = None
    agnostic: bool = False
    multi_label: bool = False

    def __post_init__(self) -> None:
        for flag, value in (("--conf-thres", self.conf), ("--iou-thres", self.iou)):
            if not 0 <= value <= 1 or math.isnan(value):
                raise UserError(f"{flag}={value}: must be in 0..1")
        if self.max_det < 1:
            raise UserError(f"--max-det={self.max_det}: must be at least 1")
        if self.classes is not None and any(number < 0 for number in self.classes):
            raise UserError(f"--classes={self.classes}: takes class numbers, 0 or above")
