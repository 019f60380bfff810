"""Box geometry: forms, clipping, overlaps, and the way back to the original image.

Called by the data transforms, the losses, NMS and the metrics. Inside the program a box is xyxy in
pixels; the other forms are centre-size (xywh) and centre-size divided by the image's sides. [...,
4] functions take tensors or arrays.
"""

from __future__ import annotations

import math
from typing import TypeVar

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
    """Corners [..., 4] -> centre and size [..., 4], same unit."""
    out = _empty_like(boxes)
    low, high = boxes[..., :2], boxes[..., 2:4]
    out[..., :2] = (low + high) / 2
    out[..., 2:] = high - low
    return out


def xywh_to_xyxy(boxes: BoxArray) -> BoxArray:
    """Centre and size [..., 4] -> corners [..., 4], same unit."""
    out = _empty_like(boxes)
    half = boxes[..., 2:4] / 2
    out[..., :2] = boxes[..., :2] - half
    out[..., 2:] = boxes[..., :2] + half
    return out


def clip_to_image(boxes: BoxArray, size: tuple[int, int]) -> BoxArray:
    """Corners [..., 4+] in pixels, cut off at the borders of a image of size (h, w); further
    columns stay.
    """
    out = _copy(boxes)
    height, width = size
    out[..., 0:4:2] = boxes[..., 0:4:2].clip(0, width)
    out[..., 1:4:2] = boxes[..., 1:4:2].clip(0, height)
    return out


def normalise_boxes(boxes: BoxArray, size: tuple[int, int]) -> BoxArray:
    """Corners in pixels [..., 4] -> centre and size as shares of a image of size (h, w): the form
    of label files.
    """
    out = xyxy_to_xywh(boxes)
    out[..., 0::2] /= size[1]
    out[..., 1::2] /= size[0]
    return out


def denormalise_boxes(
    boxes: BoxArray, size: tuple[int, int], pad: tuple[float, float] = (0.0, 0.0)
) -> BoxArray:
    """Label-file form [..., 4] -> corners in pixels of a image of size (h, w), moved by pad (x,
    y).
    """
    out = xywh_to_xyxy(boxes)
    out[..., 0::2] = out[..., 0::2] * size[1] + pad[0]
    out[..., 1::2] = out[..., 1::2] * size[0] + pad[1]
    return out


def to_original(
    boxes: BoxArray, gain: tuple[float, float], pad: tuple[float, float], size: tuple[int, int]
) -> BoxArray:
    """Undo a letterbox: corners [..., 4+], box = original * gain + pad -> original pixels, clipped
    to size (h, w).
    """
    out = _copy(boxes)
    out[..., 0:4:2] = (boxes[..., 0:4:2] - pad[0]) / gain[0]
    out[..., 1:4:2] = (boxes[..., 1:4:2] - pad[1]) / gain[1]
    return clip_to_image(out, size)


def letterbox_geometry(
    size: tuple[int, int], original: tuple[int, int]
) -> tuple[float, tuple[float, float]]:
    """The gain and the (x, y) pad with which a image of `original` (h, w) was centred in `size`
    (h, w).
    """
    gain = min(size[0] / original[0], size[1] / original[1])
    return gain, ((size[1] - original[1] * gain) / 2, (size[0] - original[0] * gain) / 2)


def scale_boxes(boxes: BoxArray, size: tuple[int, int], original: tuple[int, int]) -> BoxArray:
    """Corners [..., 4+] in a letterboxed image of size (h, w) -> pixels of the original (h, w),
    clipped.
    """
    gain, pad = letterbox_geometry(size, original)
    return to_original(boxes, (gain, gain), pad, original)


def _intersection(first: Tensor, second: Tensor) -> Tensor:
    """Shared area of corners [N, 4] and [M, 4] -> [N, M]."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:4], second[None, :, 2:4])
    return (high - low).clamp_(min=0).prod(2)


def box_area(boxes: BoxArray) -> BoxArray:
    """Area of corners [..., 4] -> [...]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of every pair of corners [N, 4], [M, 4] -> [N, M] in 0..1."""
    shared = _intersection(first, second)
    return shared / (box_area(first)[:, None] + box_area(second)[None] - shared + EPSILON)


def box_ioa(first: Tensor, second: Tensor) -> Tensor:
    """Share of each second box that a first one covers: corners [N, 4], [M, 4] -> [N, M]."""
    return _intersection(first, second) / (box_area(second)[None] + EPSILON)


def bbox_ciou(pred: Tensor, target: Tensor, kind: str = "ciou", *, xyxy: bool = False) -> Tensor:
    """Overlap of pred[i] with target[i], centre-size boxes [N, 4] (corners if xyxy) -> [N], with
    gradients.

    kind: iou; giou (Rezatofighi et al., arXiv 1902.09630); diou and ciou (Zheng et al., arXiv
    1911.08287), the last with YOLOv5's alpha, which takes no gradient. ciou of two boxes without
    extent is NaN, as theirs. Raises ValueError for another kind.
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
    with torch.no_grad():
        alpha = aspect / (1 - iou + aspect + EPSILON)
    return iou - (penalty + aspect * alpha)


def _corners_and_sides(
    boxes: Tensor, xyxy: bool
) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    """BoxArray [N, 4] -> (x1, y1, x2, y2), (w, h), each [N]."""
    if xyxy:
        x1, y1, x2, y2 = boxes.unbind(1)
        return (x1, y1, x2, y2), (x2 - x1, y2 - y1 + EPSILON)  # YOLOv5 guards the height only
    x, y, w, h = boxes.unbind(1)
    half_w, half_h = w / 2, h / 2
    return (x - half_w, y - half_h, x + half_w, y + half_h), (w, h)
