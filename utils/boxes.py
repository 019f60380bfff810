"""Box geometry: forms, clipping, overlaps, and the way back to the original image.

The data transforms, the losses, NMS and the metrics use this module. Inside the program a box is
xyxy in pixels. The other forms are centre and size (xywh), and xywh divided by the image's sides.
Functions that take boxes [..., 4] accept tensors and arrays.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

BoxArray = TypeVar("BoxArray", Tensor, np.ndarray)
EPSILON = 1e-7  # keeps an empty union or hull from dividing by zero


def _empty_like(boxes: BoxArray) -> BoxArray:
    return torch.empty_like(boxes) if isinstance(boxes, Tensor) else np.empty_like(boxes)


def _copy(boxes: BoxArray) -> BoxArray:
    return boxes.clone() if isinstance(boxes, Tensor) else boxes.copy()


def xyxy_to_xywh(boxes: BoxArray) -> BoxArray:
    """Centres and sizes [..., 4] of corners [..., 4], in the same unit."""
    out = _empty_like(boxes)
    low, high = boxes[..., :2], boxes[..., 2:4]
    out[..., :2] = (low + high) / 2
    out[..., 2:] = high - low
    return out


def xywh_to_xyxy(boxes: BoxArray) -> BoxArray:
    """Corners [..., 4] of centres and sizes [..., 4], in the same unit."""
    out = _empty_like(boxes)
    half = boxes[..., 2:4] / 2
    out[..., :2] = boxes[..., :2] - half
    out[..., 2:] = boxes[..., :2] + half
    return out


def clip_boxes(boxes: BoxArray, size: tuple[Any, Any]) -> BoxArray:
    """Clip corners [..., 4+] in pixels to an image of size (h, w); further columns stay."""
    out = _copy(boxes)
    height, width = size
    out[..., 0:4:2] = boxes[..., 0:4:2].clip(0, width)
    out[..., 1:4:2] = boxes[..., 1:4:2].clip(0, height)
    return out


def normalise_boxes(boxes: BoxArray, size: tuple[int, int]) -> BoxArray:
    """Turn corners [..., 4] in pixels into the form of label files.

    That is [..., 4] centres and sizes as shares of the sides of an image of size (h, w).
    """
    out = xyxy_to_xywh(boxes)
    out[..., 0::2] /= size[1]
    out[..., 1::2] /= size[0]
    return out


def denormalise_boxes(
    boxes: BoxArray, size: tuple[int, int], pad: tuple[float, float] = (0.0, 0.0)
) -> BoxArray:
    """Turn boxes in the form of label files into corners [..., 4] in pixels.

    Args:
        boxes: [..., 4] centres and sizes as shares of the image's sides.
        size: (h, w) of the image, pixels.
        pad: (x, y) pixels that are added to all corners.
    """
    out = xywh_to_xyxy(boxes)
    out[..., 0::2] = out[..., 0::2] * size[1] + pad[0]
    out[..., 1::2] = out[..., 1::2] * size[0] + pad[1]
    return out


def to_original(
    boxes: BoxArray, gain: tuple[Any, Any], pad: tuple[Any, Any], size: tuple[Any, Any]
) -> BoxArray:
    """Undo a letterbox: corners in pixels of the original image, clipped to it.

    Args:
        boxes: [..., 4+] corners in pixels of the letterboxed image: original * gain + pad.
        gain: (x, y) factors.
        pad: (x, y) pixels.
        size: (h, w) of the original image, pixels. For boxes [N, 4+] of several images each number
            may be an array [N, 1].
    """
    out = _copy(boxes)
    out[..., 0:4:2] = (boxes[..., 0:4:2] - pad[0]) / gain[0]
    out[..., 1:4:2] = (boxes[..., 1:4:2] - pad[1]) / gain[1]
    return clip_boxes(out, size)


def letterbox_geometry(
    size: tuple[int, int], original: tuple[int, int]
) -> tuple[float, tuple[float, float]]:
    """The gain and the (x, y) pad in pixels that centre an image in a frame.

    Args:
        size: (h, w) of the frame, pixels.
        original: (h, w) of the image, pixels.
    """
    # The smaller ratio, so that the whole image fits and keeps its aspect ratio.
    gain = min(size[0] / original[0], size[1] / original[1])
    return gain, ((size[1] - original[1] * gain) / 2, (size[0] - original[0] * gain) / 2)


def scale_boxes(boxes: BoxArray, size: tuple[int, int], original: tuple[int, int]) -> BoxArray:
    """Map corners from a letterboxed image to the original one, and clip them to it.

    Args:
        boxes: [..., 4+] corners in pixels of the letterboxed image.
        size: (h, w) of that image, pixels.
        original: (h, w) of the original image, pixels.
    """
    gain, pad = letterbox_geometry(size, original)
    return to_original(boxes, (gain, gain), pad, original)


def _intersection(first: Tensor, second: Tensor) -> Tensor:
    """Shared areas [N, M] of boxes with corners [N, 4] and [M, 4]."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:4], second[None, :, 2:4])
    return (high - low).clamp_(min=0).prod(2)


def box_area(boxes: BoxArray) -> BoxArray:
    """Areas [...] of boxes with corners [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union [N, M], in 0..1, of boxes with corners [N, 4] and [M, 4]."""
    shared = _intersection(first, second)
    return shared / (box_area(first)[:, None] + box_area(second)[None] - shared + EPSILON)


def box_iou_array(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """box_iou() of arrays, to the same bit; for few boxes it is several times as fast."""
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = first.T[:, :, None], np.ascontiguousarray(second.T)
    width = np.minimum(ax2, bx2) - np.maximum(ax1, bx1)
    height = np.minimum(ay2, by2) - np.maximum(ay1, by1)
    shared = np.maximum(width, 0, out=width)
    shared *= np.maximum(height, 0, out=height)
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)
    union -= shared
    union += EPSILON
    return np.divide(shared, union, out=shared)


def box_ioa(first: Tensor, second: Tensor) -> Tensor:
    """The share [N, M] of each box of second [M, 4] that each box of first [N, 4] covers.

    Both are corners in the same unit.
    """
    return _intersection(first, second) / (box_area(second)[None] + EPSILON)


def bbox_ciou(pred: Tensor, target: Tensor, kind: str = "ciou", *, xyxy: bool = False) -> Tensor:
    """Overlap of pred[i] with target[i], [N], with gradients.

    Args:
        pred, target: [N, 4] centres and sizes, or corners.
        kind: iou; giou (Rezatofighi et al., arXiv 1902.09630); diou or ciou (Zheng et al., arXiv
            1911.08287). As in YOLOv5, the alpha of ciou has no gradient, and ciou of two boxes
            without extent is NaN.
        xyxy: Whether the boxes are corners.

    Raises:
        ValueError: The kind is none of these.
    """
    if kind not in ("iou", "giou", "diou", "ciou"):
        raise ValueError(f"kind={kind!r}: must be iou, giou, diou or ciou")
    (ax1, ay1, ax2, ay2), (aw, ah) = _corners_and_sides(pred, xyxy)
    (bx1, by1, bx2, by2), (bw, bh) = _corners_and_sides(target, xyxy)
    across = torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)
    down = torch.minimum(ay2, by2) - torch.maximum(ay1, by1)
    shared = across.clamp(min=0) * down.clamp(min=0)
    union = aw * ah + bw * bh - shared + EPSILON
    iou = shared / union
    if kind == "iou":
        return iou
    hull_w = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    hull_h = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    if kind == "giou":
        hull = hull_w * hull_h + EPSILON
        return iou - (hull - union) / hull
    diagonal = hull_w.square() + hull_h.square() + EPSILON
    centres = ((bx1 + bx2 - ax1 - ax2).square() + (by1 + by2 - ay1 - ay2).square()) / 4
    penalty = centres / diagonal
    if kind == "diou":
        return iou - penalty
    aspect = (torch.atan(bw / bh) - torch.atan(aw / ah)).square() * (4 / math.pi**2)
    with torch.no_grad():  # alpha is a weight, so the loss must not be lowered through it
        alpha = aspect / (1 - iou + aspect + EPSILON)
    return iou - (penalty + aspect * alpha)


def _corners_and_sides(
    boxes: Tensor, xyxy: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    """(x1, y1, x2, y2) and (w, h) of boxes [N, 4], each [N]."""
    if xyxy:
        x1, y1, x2, y2 = boxes.unbind(1)
        return (x1, y1, x2, y2), (x2 - x1, y2 - y1 + EPSILON)  # YOLOv5 guards the height only
    x, y, w, h = boxes.unbind(1)
    half_w, half_h = w / 2, h / 2
    return (x - half_w, y - half_h, x + half_w, y + half_h), (w, h)
