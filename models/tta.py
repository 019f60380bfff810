"""Test-time augmentation: three sizes, one of them mirrored, their predictions side by side for the
NMS.

models/yolo.py calls it for forward(x, augment=True).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

VIEWS = ((1.0, False), (0.83, True), (0.67, False))  # scale, mirrored left to right
GRAY = 0.447  # mean of ImageNet, the colour of the padding


def predict_augmented(
    predict: Callable[[Tensor], Tensor], x: Tensor, stride: int, levels: int
) -> Tensor:
    """Decoded predictions of all views, in the coordinates of x.

    predict: [B, 3, H, W] -> [B, N, 4 + …], xywh in pixels and scores, N running over level, finest
    first. The full-size view leaves the coarsest level out and the smallest view the finest, each
    being weak there. Returns [B, N', 4 + …].
    """
    found = []
    for scale, mirrored in VIEWS:
        rows = predict(rescale(x.flip(3) if mirrored else x, scale, stride))
        boxes = rows[..., :4] / scale
        if mirrored:
            boxes = torch.cat((x.shape[3] - boxes[..., :1], boxes[..., 1:]), dim=2)
        found.append(torch.cat((boxes, rows[..., 4:]), dim=2))
    return torch.cat(drop_weak_levels(found, levels), dim=1)


def rescale(x: Tensor, scale: float, stride: int) -> Tensor:
    """Resize [B, C, H, W] by scale, then pad with gray on the right and below to a multiple of
    stride.
    """
    if scale == 1:
        return x
    height, width = x.shape[2:]
    small = F.interpolate(
        x, size=(int(height * scale), int(width * scale)), mode="bilinear", align_corners=False
    )
    below, right = (
        math.ceil(full * scale / stride) * stride - now
        for full, now in zip((height, width), small.shape[2:], strict=True)
    )
    return F.pad(small, (0, right, 0, below), value=GRAY)


def drop_weak_levels(found: list[Tensor], levels: int) -> list[Tensor]:
    """Cut the coarsest level off the first view, the finest off the last; a level has 4 times the
    next one's rows.
    """
    parts = sum(4**level for level in range(levels))
    first, *middle, last = found
    coarsest = first.shape[1] // parts
    finest = last.shape[1] // parts * 4 ** (levels - 1)
    return [first[:, : first.shape[1] - coarsest], *middle, last[:, finest:]]
