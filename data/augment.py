"""Transforms of one image: a frozen draw made once from a generator, then applied without further
randomness.

Images come from data/pixels.py or data/mix.py; data/dataset.py and detect.py call what is here.
Images are [H, W, 3] uint8, boxes [N, 4] float32 xyxy in pixels; what happens to boxes is in
data/geometry.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.geometry import Affine, Letterbox, Size, plan_letterbox
from utils.config import Hyperparameters

GREY = 114  # what YOLOv5 puts where there is no image
HUES = 180  # OpenCV's hue circle in 8 bits
STRIP_BYTES = (
    48 * 1024
)  # well inside a core's cache, and below the size at which malloc asks the kernel


@dataclass(frozen=True, slots=True)
class Finish:
    """The draws of what happens last: hsv factors (1, 1, 1 changes nothing) and the two flips."""

    hsv: tuple[float, float, float] = (1.0, 1.0, 1.0)
    upside_down: bool = False
    mirrored: bool = False


def draw_finish(rng: np.random.Generator, hyp: Hyperparameters) -> Finish:
    """Draw colour factors from 1 ± gain, and flips by their probabilities."""
    hue, saturation, value, flip_ud, flip_lr = rng.random(5).tolist()
    gains = (
        (2 * hue - 1) * hyp.hsv_h + 1,
        (2 * saturation - 1) * hyp.hsv_s + 1,
        (2 * value - 1) * hyp.hsv_v + 1,
    )
    return Finish(gains, flip_ud < hyp.flipud, flip_lr < hyp.fliplr)


def apply_finish(image: np.ndarray, boxes: np.ndarray, finish: Finish) -> np.ndarray:
    """Change colours and flip, in the image's own memory; returns its boxes [N, 4]."""
    import cv2

    adjust_hsv(image, finish.hsv)
    if not (finish.upside_down or finish.mirrored):
        return boxes
    code = {(True, False): 0, (False, True): 1, (True, True): -1}[
        finish.upside_down, finish.mirrored
    ]
    cv2.flip(image, code, dst=image)
    return flip_boxes(boxes, image.shape[:2], finish)


def flip_boxes(boxes: np.ndarray, size: Size, finish: Finish) -> np.ndarray:
    """Boxes [N, 4] of a image of (height, width) after the flips."""
    boxes = boxes.copy()
    if finish.upside_down:
        boxes[:, [1, 3]] = size[0] - boxes[:, [3, 1]]
    if finish.mirrored:
        boxes[:, [0, 2]] = size[1] - boxes[:, [2, 0]]
    return boxes


def adjust_hsv(image: np.ndarray, factors: tuple[float, float, float]) -> None:
    """Multiply hue, saturation and value of an RGB image, in its own memory; hue goes round, the
    others saturate.

    By one table per channel, and in strips whose intermediate results stay in the processor's
    cache.
    """
    import cv2

    if factors == (1.0, 1.0, 1.0):
        return
    ramp = np.arange(256, dtype=np.float64)
    tables = [
        ramp * factors[0] % HUES,
        np.minimum(ramp * factors[1], 255),
        np.minimum(ramp * factors[2], 255),
    ]
    tables = [table.astype(np.uint8) for table in tables]
    rows = max(STRIP_BYTES // (3 * image.shape[1]), 1)
    for top in range(0, len(image), rows):
        strip = image[top : top + rows]
        hsv = cv2.cvtColor(strip, cv2.COLOR_RGB2HSV)
        planes = [
            cv2.LUT(plane, table, dst=plane)
            for plane, table in zip(cv2.split(hsv), tables, strict=True)
        ]
        cv2.cvtColor(cv2.merge(planes, dst=hsv), cv2.COLOR_HSV2RGB, dst=strip)


def resize(image: np.ndarray, size: Size, smooth: bool) -> np.ndarray:
    """Image at (height, width); smooth averages areas, which is for shrinking, otherwise
    bilinear.
    """
    import cv2

    if image.shape[:2] == size:
        return image
    return cv2.resize(
        image, size[::-1], interpolation=cv2.INTER_AREA if smooth else cv2.INTER_LINEAR
    )


def paste_letterbox(image: np.ndarray, plan: Letterbox) -> np.ndarray:
    """The image in its frame as plan says, [*plan.size, 3], grey around it."""
    import cv2

    if image.shape[:2] != plan.inner:
        image = cv2.resize(image, plan.inner[::-1], interpolation=cv2.INTER_LINEAR)
    if plan.inner == plan.size:
        return image
    frame = np.full((*plan.size, 3), GREY, dtype=np.uint8)
    top, left = plan.corner
    frame[top : top + plan.inner[0], left : left + plan.inner[1]] = image
    return frame


def letterbox(
    image: np.ndarray,
    target: int | Size,
    *,
    auto: bool = False,
    scale_up: bool = True,
    stride: int = 32,
) -> tuple[np.ndarray, Letterbox]:
    """Fit a image into target (side, or height and width); see plan_letterbox, whose plan comes
    back too.
    """
    plan = plan_letterbox(image.shape[:2], target, auto=auto, scale_up=scale_up, stride=stride)
    return paste_letterbox(image, plan), plan


def warp(image: np.ndarray, affine: Affine, output: Size) -> np.ndarray:
    """The image after affine, at (height, width) output, grey where nothing comes to lie."""
    import cv2

    matrix = affine.matrix(image.shape[:2], output)
    if any(affine.perspective):
        return cv2.warpPerspective(image, matrix, output[::-1], borderValue=(GREY, GREY, GREY))
    return cv2.warpAffine(image, matrix[:2], output[::-1], borderValue=(GREY, GREY, GREY))


def multi_scale_size(rng: np.random.Generator, imgsz: int, stride: int) -> int:
    """A image side for one step under --multi-scale: a multiple of stride from half to one and a
    half imgsz.
    """
    return int(rng.integers(int(imgsz * 0.5), int(imgsz * 1.5) + stride)) // stride * stride
