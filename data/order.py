"""The order of an epoch: which image goes into which batch of which process.

It is a pure function of seed and epoch. data/loader.py takes the batches of an epoch and sends
their keys to the worker processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.dataset import ItemKey
from utils.seeds import stream

POOL_SIZE = 64  # images, drawn by weight, that may join the mosaic of an item


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a global batch that process `rank` of `world` gets: batch_size items."""

    batch_size: int
    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Order:
    """The order of one epoch.

    With weights, [n] relative chances, images are drawn with replacement; without, each comes once.
    With within_batch=True the images of a batch make their mosaics among themselves, so that each
    has to be decoded once only.
    """

    seed: int
    epoch: int
    shuffle: bool
    weights: np.ndarray | None = None
    within_batch: bool = False

    def numbers(self, count: int) -> np.ndarray:
        """The numbers [count] of images for all processes together."""
        rng = stream(self.seed, self.epoch, "order")
        if self.weights is not None:
            # A uniform draw hits each step of the cumulative sum in proportion to its weight.
            steps = np.cumsum(self.weights, dtype=np.float64)
            return np.searchsorted(steps, rng.random(count) * steps[-1], side="right")
        return rng.permutation(count) if self.shuffle else np.arange(count)

    def batches(self, count: int, share: Share) -> Iterator[list[ItemKey]]:
        """The keys of one process, a list for each batch.

        All processes get equally many batches of equal sizes; missing items at the end are taken
        from the start. A global batch has the same images for any number of processes.
        """
        numbers = self.numbers(count)
        repeats = count_repeats(numbers)
        mine = _shares(count, share)
        for start in range(0, len(mine), share.batch_size):
            places = mine[start : start + share.batch_size]
            batch = tuple(numbers[places].tolist()) if self.within_batch else ()
            yield [
                ItemKey(
                    int(numbers[k]),
                    self.epoch,
                    int(repeats[k]),
                    pool=batch or self._pool(numbers, k),
                )
                for k in places.tolist()
            ]

    def rect_batches(self, order: np.ndarray, share: Share) -> Iterator[list[ItemKey]]:
        """Like batches(), for images that share a frame with their neighbours in order [n].

        Groups of batch_size neighbours stay together, and only the groups are shuffled.
        """
        groups = np.array_split(order, range(share.batch_size, len(order), share.batch_size))
        # Weights belong to single images, so they cannot order whole groups.
        unweighted = Order(self.seed, self.epoch, self.shuffle)
        turns = unweighted.numbers(len(groups))
        for k in _shares(len(groups), share):
            yield [ItemKey(int(i), self.epoch) for i in groups[turns[k]]]

    def _pool(self, numbers: np.ndarray, place: int) -> tuple[int, ...]:
        """The images that may join the mosaic at a place of the order, or () for all.

        With weights they are among the draws of this epoch, so that mosaics follow the weights too.
        """
        if self.weights is None:
            return ()
        rng = stream(self.seed, self.epoch, place, "pool")
        return tuple(numbers[rng.integers(len(numbers), size=POOL_SIZE)].tolist())


def batch_count(count: int, share: Share, rect: bool) -> int:
    """The number of batches that an Order gives each process.

    Args:
        count: Number of images.
        share: The part of the process.
        rect: Whether the batches are those of rect_batches.

    Returns:
        The length of the iterator.
    """
    if rect:
        return len(_shares(-(-count // share.batch_size), share))
    return -(-len(_shares(count, share)) // share.batch_size)


def _shares(count: int, share: Share) -> np.ndarray:
    """Every world-th of count places, repeated from the start until all processes have as many."""
    total = -(-count // share.world) * share.world
    return np.arange(share.rank, total, share.world) % max(count, 1)


def count_repeats(numbers: np.ndarray) -> np.ndarray:
    """For each of numbers [n], count its earlier occurrences."""
    # A stable sort keeps equal numbers in their order, so the place among equals is the count.
    by_value = np.argsort(numbers, kind="stable")
    ordered = numbers[by_value]
    starts = np.searchsorted(ordered, ordered)
    repeats = np.empty(len(numbers), dtype=np.int64)
    repeats[by_value] = np.arange(len(numbers)) - starts
    return repeats
