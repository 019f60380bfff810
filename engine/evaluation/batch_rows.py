"""The labels and detections of a batch, image by image, and on the way to the original images.

evaluate.py uses it. All images of a batch share one table, since small arrays cost calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from engine.evaluation.matching import as_floats
from utils.boxes import to_original
from utils.structures import Batch


def labels_of(batch: Batch) -> list[Tensor]:
    """Per image the labels [m, 5] class, corners in pixels of the batch."""
    return [
        torch.from_numpy(rows) for rows in per_image(*by_image(batch.targets, len(batch.paths)))
    ]


def by_image(rows: Tensor, images: int) -> tuple[np.ndarray, list[int]]:
    """Rows [n, 1 + k] that begin with the number of their image: [n, k] sorted by it.

    Also returns the number of rows of each image.
    """
    table = as_floats(rows)
    numbers = table[:, 0].astype(int)
    counts = np.bincount(numbers, minlength=images).tolist()
    return table[numbers.argsort(kind="stable"), 1:], counts


def per_image(rows: np.ndarray, counts: Sequence[int]) -> list[np.ndarray]:
    """The rows of each image, as views."""
    ends = accumulate(counts)
    return [rows[end - count : end] for end, count in zip(ends, counts, strict=True)]


def in_originals(rows: np.ndarray, counts: Sequence[int], batch: Batch) -> np.ndarray:
    """Corners in pixels of the batch, in those of the original images and clipped to them.

    Args:
        rows: [n, 4+] corners, those of one image behind those of another.
        counts: How many of them each image has.
        batch: The images.
    """
    gain, pad, size = (
        np.repeat(np.array(pairs, np.float32), counts, axis=0)[:, :, None].transpose(1, 0, 2)
        for pairs in (batch.gains, batch.pads, batch.original_sizes)
    )
    return to_original(rows, (gain[0], gain[1]), (pad[0], pad[1]), (size[0], size[1]))


def on_host(found: list[Tensor]) -> list[Tensor]:
    """Tables of rows on the CPU, for which the host waits once."""
    if not found or found[0].device.type == "cpu":
        return found
    return list(torch.cat(found).cpu().split([len(rows) for rows in found]))
