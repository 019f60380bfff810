"""Parts of maps, small enough that several steps run while a part is in the cache of a CPU.

On a CPU it costs more to write a whole map to memory than to compute it, so the fast forms make
their intermediate maps one part at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Values in a part of one map: 2 MiB of float32, so that its intermediates stay in the cache.
BLOCK = 1 << 19
# Values in a part of several maps: few enough for the cache, enough to keep all cores at work.
STEP = 1 << 20
# Bytes of a part that goes through many steps.
CACHE = 1 << 20


def is_channels_last(x: Tensor) -> bool:
    """Whether x, [B, C, H, W], is channels-last and not contiguous; a map of 1 x 1 is both."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)


def like(g: Tensor, x: Tensor) -> Tensor:
    """Return g in the layout of x, channels-last or contiguous; copy it only if its own differs."""
    last = is_channels_last(x)
    return g.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def map_blocks(x: Tensor) -> list[Tensor]:
    """Return views [1, P, H, W] that together make x, [B, C, H, W], of BLOCK values at most.

    x must be channels-last, and then each view is an image of any size, or contiguous, and then
    each view is as many maps as fit, one at least.
    """
    if not x.is_contiguous():
        return list(x.split(1))
    maps = x.view(1, -1, *x.shape[2:])
    return list(maps.split(max(BLOCK // (x.shape[2] * x.shape[3]), 1), 1))


def image_runs(x: Tensor, size: int = 0) -> list[slice]:
    """Return slices of x, [B, ...], that take its images in order, in runs that fit the cache.

    A run has `size` values at most, or a single image; 0 stands for CACHE bytes. On an accelerator
    there is one run, since launches cost more there than memory traffic.
    """
    size = size or CACHE // x.element_size()
    count = size * len(x) // max(x.numel(), 1) if x.device.type == "cpu" else len(x)
    return [slice(start, start + max(count, 1)) for start in range(0, len(x), max(count, 1))]


def split_together(x: Tensor, *others: Tensor) -> list[tuple[Tensor, ...]]:
    """Return matching views of x and others (as many images), in runs of STEP values of x."""
    return [tuple(tensor[run] for tensor in (x, *others)) for run in image_runs(x, STEP)]
