"""The order of an epoch: which image goes into which batch of which process. A pure function of
seed and epoch.

data/loader.py asks for the batches of an epoch and sends their keys to the processes that read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.dataset import ItemKey
from utils.seeds import stream

POOL_SIZE = 64  # images drawn by weight that may join one item's mosaic


@dataclass(frozen=True, slots=True)
class Share:
    """The part of every global batch that one process gets: batch_size items, as rank of world."""

    batch_size: int
    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Order:
    """The order of one epoch. weights: [n] relative chances of drawing with replacement, or None
    for each once.
    """

    seed: int
    epoch: int
    shuffle: bool
    weights: np.ndarray | None = None

    def numbers(self, count: int) -> np.ndarray:
        """[count] numbers of images, for all processes together."""
        rng = stream(self.seed, self.epoch, "order")
        if self.weights is not None:
            steps = np.cumsum(self.weights, dtype=np.float64)
            return np.searchsorted(steps, rng.random(count) * steps[-1], side="right")
        return rng.permutation(count) if self.shuffle else np.arange(count)

    def batches(self, count: int, share: Share) -> Iterator[list[ItemKey]]:
        """This process's keys, a list per batch; all processes get equally many batches of equal
        sizes.

        A global batch is the same images whatever the number of processes. What is missing at the
        end is taken from the start.
        """
        numbers = self.numbers(count)
        repeats = count_repeats(numbers)
        mine = _shares(count, share)
        for start in range(0, len(mine), share.batch_size):
            places = mine[start : start + share.batch_size].tolist()
            yield [
                ItemKey(int(numbers[k]), self.epoch, int(repeats[k]), pool=self._pool(numbers, k))
                for k in places
            ]

    def rect_batches(self, order: np.ndarray, share: Share) -> Iterator[list[ItemKey]]:
        """As batches, for groups of batch_size images in order, which stay together; only the
        groups are shuffled.
        """
        groups = np.array_split(order, range(share.batch_size, len(order), share.batch_size))
        unweighted = Order(self.seed, self.epoch, self.shuffle)
        turns = unweighted.numbers(len(groups))
        for k in _shares(len(groups), share):
            yield [ItemKey(int(i), self.epoch) for i in groups[turns[k]]]

    def _pool(self, numbers: np.ndarray, place: int) -> tuple[int, ...]:
        """With weights the other images of a mosaic come from this epoch's draws; without, from
        all images: ().
        """
        if self.weights is None:
            return ()
        rng = stream(self.seed, self.epoch, place, "pool")
        return tuple(numbers[rng.integers(len(numbers), size=POOL_SIZE)].tolist())


def batch_count(count: int, share: Share, rect: bool) -> int:
    """How many batches Order gives each process."""
    if rect:
        return len(_shares(-(-count // share.batch_size), share))
    return -(-len(_shares(count, share)) // share.batch_size)


def _shares(count: int, share: Share) -> Any:
    """Every world-th of count places, filled up from the start so that all processes get as many."""
    total = -(-count // share.world) * share.world
    return np.arange(share.rank, total, share.world) % max(count, 1)


def count_repeats(numbers: np.ndarray) -> np.ndarray:
    """For each of numbers [n], how often it came before."""
    by_value = np.argsort(numbers, kind="stable")
    ordered = numbers[by_value]
    starts = np.searchsorted(ordered, ordered)
    repeats = np.empty(len(numbers), dtype=np.int64)
    repeats[by_value] = np.arange(len(numbers)) - starts
    return repeats
