"""Transforms of one image: first all random values are drawn, then they are applied.

Images are [H, W, 3] uint8, boxes [N, 4] float32 xyxy in pixels. data/geometry.py computes the
parameters of the transforms, and their effect on boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.geometry import Affine, Letterbox, Size, plan_letterbox
from utils.config import Hyperparameters

GREY = 114  # YOLOv5's value for pixels outside the image
NEUTRAL = (1.0, 1.0, 1.0)  # factors of hue, saturation and value that change nothing
HUES = 180  # OpenCV's hue circle in 8 bits
# It fits a core's cache, and is below the size from which malloc maps fresh memory for each array.
STRIP_BYTES = 96 * 1024


@dataclass(frozen=True, slots=True)
class Finish:
    """The draws of the last transforms: factors of hue, saturation and value, and the two flips."""

    hsv: tuple[float, float, float] = NEUTRAL
    upside_down: bool = False
    mirrored: bool = False


def draw_finish(rng: np.random.Generator, hyp: Hyperparameters) -> Finish:
    """Draw colour factors from 1 ± gain, and flips with their probabilities."""
    hue, saturation, value, flip_ud, flip_lr = rng.random(5).tolist()
    gains = (
        (2 * hue - 1) * hyp.hsv_h + 1,
        (2 * saturation - 1) * hyp.hsv_s + 1,
        (2 * value - 1) * hyp.hsv_v + 1,
    )
    return Finish(gains, flip_ud < hyp.flipud, flip_lr < hyp.fliplr)


def apply_finish(image: np.ndarray, boxes: np.ndarray, finish: Finish) -> np.ndarray:
    """Change the colours of an image and flip it.

    Args:
        image: [H, W, 3] uint8 BGR, changed in place, to RGB.
        boxes: [N, 4] xyxy, pixels.
        finish: The draws.

    Returns:
        The boxes [N, 4] after the flips.
    """
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
    """Flip boxes like their image.

    Args:
        boxes: [N, 4] xyxy, pixels.
        size: (height, width) of the image, pixels.
        finish: Its flips.

    Returns:
        The flipped boxes [N, 4].
    """
    boxes = boxes.copy()
    if finish.upside_down:
        boxes[:, [1, 3]] = size[0] - boxes[:, [3, 1]]
    if finish.mirrored:
        boxes[:, [0, 2]] = size[1] - boxes[:, [2, 0]]
    return boxes


def adjust_hsv(image: np.ndarray, factors: tuple[float, float, float]) -> None:
    """Multiply hue, saturation and value of a BGR image [H, W, 3] uint8, which becomes RGB.

    It is changed in place. Hue wraps around; the other two are clipped.
    """
    import cv2

    if factors == NEUTRAL:
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
        return
    ramp = np.arange(256, dtype=np.float64)
    tables = [
        ramp * factors[0] % HUES,
        np.minimum(ramp * factors[1], 255),
        np.minimum(ramp * factors[2], 255),
    ]
    # One table of three channels spares the separation into planes, which costs more than it does.
    table = np.stack(tables, axis=1).astype(np.uint8)[None]
    # The work is done in strips, since intermediate results of a whole image exceed the cache.
    rows = max(STRIP_BYTES // (3 * image.shape[1]), 1)
    for top in range(0, len(image), rows):
        strip = image[top : top + rows]
        hsv = cv2.cvtColor(strip, cv2.COLOR_BGR2HSV)
        cv2.cvtColor(cv2.LUT(hsv, table, dst=hsv), cv2.COLOR_HSV2RGB, dst=strip)


def resize(image: np.ndarray, size: Size, smooth: bool) -> np.ndarray:
    """Resize an image.

    Args:
        image: [H, W, 3] uint8.
        size: (height, width), pixels.
        smooth: Average areas, which suits shrinking, instead of bilinear interpolation.

    Returns:
        The image at that size; the same array if it has it already.
    """
    import cv2

    if image.shape[:2] == size:
        return image
    return cv2.resize(
        image, size[::-1], interpolation=cv2.INTER_AREA if smooth else cv2.INTER_LINEAR
    )


def paste_letterbox(image: np.ndarray, plan: Letterbox) -> np.ndarray:
    """Resize an image [H, W, 3] and place it in its frame [*plan.size, 3], with grey around it."""
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
    stride: int = 32,
) -> tuple[np.ndarray, Letterbox]:
    """Fit an image into a frame with grey borders.

    Args:
        image: [H, W, 3] uint8.
        target: (height, width) of the frame, or its side if it is square, pixels.
        auto: Use the smallest border that makes both sides multiples of stride.
        stride: Stride for auto, pixels.

    Returns:
        The frame [h, w, 3] and the plan, which holds its size.
    """
    plan = plan_letterbox(image.shape[:2], target, auto=auto, stride=stride)
    return paste_letterbox(image, plan), plan


def warp(image: np.ndarray, affine: Affine, output: Size) -> np.ndarray:
    """Apply an affine or perspective map to an image.

    Args:
        image: [H, W, 3] uint8.
        affine: The map.
        output: (height, width) of the result, pixels.

    Returns:
        The mapped image [*output, 3], grey outside of it.
    """
    import cv2

    matrix = affine.matrix(image.shape[:2], output)
    if any(affine.perspective):
        return cv2.warpPerspective(image, matrix, output[::-1], borderValue=(GREY, GREY, GREY))
    return cv2.warpAffine(image, matrix[:2], output[::-1], borderValue=(GREY, GREY, GREY))


def multi_scale_size(rng: np.random.Generator, imgsz: int, stride: int) -> int:
    """The image side of one step under --multi-scale.

    Args:
        rng: Gives the draw.
        imgsz: The side without --multi-scale, pixels.
        stride: The grid of sizes, pixels.

    Returns:
        A multiple of stride between about half and one and a half times imgsz.
    """
    return int(rng.integers(int(imgsz * 0.5), int(imgsz * 1.5) + stride)) // stride * stride


def largest_multi_scale(imgsz: int, stride: int) -> int:
    """The largest side that multi_scale_size() draws, pixels."""
    return (int(imgsz * 1.5) + stride - 1) // stride * stride
