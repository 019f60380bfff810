"""The part of a loader that runs in worker processes: the keys of a batch in, its arrays out."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, default_collate

from data.dataset import DetectionDataset, ItemKey
from utils.structures import Item


class ItemRow(NamedTuple):
    """The number, original (height, width), gain (x, y) and pad (x, y) of an Item."""

    number: int
    original_size: tuple[int, int]
    gain: tuple[float, float]
    pad: tuple[float, float]


class RawBatch(NamedTuple):
    """A batch on its way between processes.

    Attributes:
        images: [B, H, W, 3 or 1] uint8, a tensor in shared memory, or an array for a pipe.
        targets: [T, 6] float32, as in utils.structures.Batch.
        rows: The facts of each item that a Batch holds.
        failures: (path, reason) of images that were not read.
        read_count: Number of images that were.
    """

    images: torch.Tensor | np.ndarray
    targets: np.ndarray
    rows: tuple[ItemRow, ...]
    failures: tuple[tuple[str, str], ...]
    read_count: int


class BatchReader(Dataset[RawBatch]):
    """Reads whole batches, in this process or in a worker."""

    def __init__(self, dataset: DetectionDataset, watched: np.ndarray, through_pipe: bool) -> None:
        self.dataset, self.watched, self.through_pipe = dataset, watched, through_pipe

    def join(self, worker: int) -> None:
        """Write from now on what this process reads into the row of this worker."""
        self.dataset.watched = self.watched[worker]
        self.dataset.watched[:2] = os.getpid(), 0

    def __getitem__(self, keys: list[ItemKey]) -> RawBatch:
        items = self.dataset.items(keys)
        images = [np.ascontiguousarray(item.image.transpose(1, 2, 0)) for item in items]
        stacked: torch.Tensor | np.ndarray
        if self.through_pipe:
            stacked = np.stack(images)
        else:  # in a worker process default_collate stacks into shared memory
            stacked = default_collate([torch.from_numpy(image) for image in images])
        rows = tuple(ItemRow(item.index, item.original_size, item.gain, item.pad) for item in items)
        failures = tuple(self.dataset.failures.items())
        count, self.dataset.read_count = self.dataset.read_count, 0
        self.dataset.failures.clear()
        self.dataset.watched[1] = 0
        return RawBatch(stacked, collate_targets(items), rows, failures, count)


def collate_targets(items: list[Item]) -> np.ndarray:
    """Boxes of all items [T, 6] float32: place in the batch, class, x1, y1, x2, y2 in pixels."""
    counts = [len(item.boxes) for item in items]
    targets = np.empty((sum(counts), 6), dtype=np.float32)
    targets[:, 0] = np.arange(len(items)).repeat(counts)
    targets[:, 1] = np.concatenate([item.classes for item in items])
    targets[:, 2:] = np.concatenate([item.boxes for item in items])
    return targets
