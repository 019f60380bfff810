"""Hue, saturation and value of a batch, changed on the device.

On a processor data.augment.adjust_hsv does it, in eight bits as YOLOv5. There it is a quarter of
the work on an item that is read from its file, and half of it if the image comes from a cache; a
graphics card has it done while the loader prepares the next batch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from utils.structures import Batch

SIXTHS = 6  # parts of the hue circle, from red over yellow, green, cyan, blue and magenta
TINY = 1e-6  # below the step of eight bits, 1/255


def adjust_colours(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply hue, saturation and value of each image by its factors.

    Hue wraps around; the other two are clipped. Nothing is rounded, so that values differ from
    those of data.augment.adjust_hsv by about a step of eight bits.

    Args:
        images: [B, 3, H, W] RGB, 0..1.
        factors: [B, 3] of hue, saturation and value.

    Returns:
        The changed images [B, 3, H, W], 0..1.
    """
    by_hue, by_saturation, by_value = factors[:, :, None, None, None].unbind(1)
    value, largest = images.max(1, keepdim=True)
    spread = value - images.amin(1, keepdim=True)
    # Where red, green or blue is the largest, hue is 0, 2 or 4, plus the share by which the next
    # channel exceeds the one after it.
    slopes = torch.roll(images, -1, 1) - torch.roll(images, 1, 1)
    hue = slopes.gather(1, largest) / spread.clamp(min=TINY) + 2 * largest
    hue = hue.remainder(SIXTHS) * by_hue
    saturation = (spread / value.clamp(min=TINY) * by_saturation).clamp(max=1)
    value = (value * by_value).clamp(max=1)
    # A channel is at its least where k is from 1 to 3, and at its most where it is 4 or more.
    offsets = torch.arange(5, 0, -2, device=images.device).view(1, 3, 1, 1)
    k = (hue + offsets).remainder(SIXTHS)
    return value - value * saturation * torch.minimum(k, 4 - k).clamp(0, 1)


def with_colours(batch: Batch) -> Batch:
    """A batch as the device will see it, for drawing; the same one if nothing is left to change."""
    if batch.hsv is None:
        return batch
    images = adjust_colours(batch.images.float() / 255, batch.hsv)
    return replace(batch, images=(images * 255).round().byte(), hsv=None)
