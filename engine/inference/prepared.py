"""A frame that is ready for the network; data/sources' threads prepare frames ahead of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from data.augment import letterbox
from data.grey import ONE_GREY, grey_image
from utils.structures import Frame


@dataclass(frozen=True, slots=True)
class InputFormat:
    """What the network's input looks like.

    Attributes:
        shape: (height, width) that a frame is scaled to fit into, pixels.
        stride: The sides of the input are multiples of it, pixels.
        channels: 3, RGB, or 1 for a grey model.
        is_fixed: Whether the border fills the whole shape.
    """

    shape: tuple[int, int]
    stride: int
    channels: int
    is_fixed: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A frame in the size of the network's input.

    Attributes:
        frame: The image in its original size, with its place in the source.
        pixels: [h, w, C] uint8, C is 3, RGB, or 1 for a grey model.
        gain: (x, y) factors from the original to the input.
        pad: (x, y) pixels of the border.
        seconds: That the preparation took.
    """

    frame: Frame
    pixels: np.ndarray
    gain: tuple[float, float]
    pad: tuple[float, float]
    seconds: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


def prepare(frame: Frame, wanted: InputFormat) -> Prepared:
    """Scale a frame for the network.

    The border is the narrowest that makes both sides multiples of the stride, unless the size of
    the input is fixed.
    """
    import cv2

    started = time.perf_counter()
    image = grey_image(frame.image) if wanted.channels == ONE_GREY else frame.image
    boxed, plan = letterbox(image, wanted.shape, auto=not wanted.is_fixed, stride=wanted.stride)
    # A copy in any case: the caller of the Python interface may change an image meanwhile.
    pixels = (
        boxed[..., :1].copy()
        if wanted.channels == ONE_GREY
        else cv2.cvtColor(boxed, cv2.COLOR_BGR2RGB)
    )
    return Prepared(frame, pixels, plan.ratio, plan.pad, time.perf_counter() - started)
