"""Test-time augmentation: predictions at three sizes, one of them mirrored, for one NMS.

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

    Args:
        predict: maps images [B, 3, H, W] to [B, N, 4 + …]: xywh in pixels, then scores, the N boxes
            level by level from the finest.
        x: images [B, 3, H, W] in 0..1.
        stride: the model's largest; the sides of each view are padded to a multiple of it.
        levels: number of the model's levels.

    Returns:
        [B, N', 4 + …]. The full-size view lacks the coarsest level and the smallest view the
        finest, at which they are weak.
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
    """Resize images, then pad them with gray on the right and below.

    Args:
        x: images [B, C, H, W].
        scale: factor of both sides.
        stride: the padded sides are multiples of it.

    Returns:
        [B, C, H', W'].
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
    """Drop the coarsest level of the first view and the finest of the last.

    found has [B, N, 4 + …] for each view; each level has 4 times as many boxes as the next coarser.
    """
    # Levels halve their sides from one to the next, so their shares of the boxes are 1, 4, 16, …
    # from the coarsest, at every size of the view.
    parts = sum(4**level for level in range(levels))
    first, *middle, last = found
    coarsest = first.shape[1] // parts
    finest = last.shape[1] // parts * 4 ** (levels - 1)
    return [first[:, : first.shape[1] - coarsest], *middle, last[:, finest:]]
