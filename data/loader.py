"""Batches: items of data/dataset.py in the order of data/order.py, read ahead by worker processes.

Every request carries the whole key of an item (number, epoch, repeat, whether mosaics are on), so
that worker processes need no state: any number of them, started at any epoch and batch, gives the
same pixels in the same order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypedDict, TypeVar

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from data.augment import NEUTRAL
from data.batch_reader import BatchReader, RawBatch
from data.dataset import BATCH, DatasetSettings, DetectionDataset, ItemKey
from data.failures import TOLD, LostImages
from data.index import DatasetIndex
from data.order import Order, Share, batch_count
from data.shared_memory import free_shared_memory, pipe_note
from data.watchdog import WorkerWatch
from data.workers import (
    ReadingStopped,
    forget_deaths,
    limit_opencv,
    next_or_none,
    note_deaths,
    start_method,
    start_worker,
    starting_workers,
)
from utils.machine import processes_here
from utils.structures import Batch
from utils.text import printable

_T = TypeVar("_T")
PREFETCH = 2  # batches that each worker reads ahead


@dataclass(frozen=True)
class LoaderOptions:
    """The selection and order of a process's items, and how they are read.

    Attributes:
        workers: Worker processes; 0 reads in this process. See data.workers.choose_workers.
        shuffle: Draw a new order for each epoch.
        image_weights: [n] relative chances of images, which are then drawn with replacement.
        rank, world: The number of this process, and how many processes share every batch.
        pin_memory: Copy batches to memory that CUDA can read.
    """

    workers: int = 0
    shuffle: bool = False
    image_weights: np.ndarray | None = None
    rank: int = 0
    world: int = 1
    pin_memory: bool = False


class WorkerOptions(TypedDict, total=False):
    """The arguments of torch's DataLoader that are about worker processes."""

    num_workers: int
    persistent_workers: bool
    prefetch_factor: int
    worker_init_fn: Callable[[int], None]
    multiprocessing_context: str


def build_loader(index: DatasetIndex, settings: DatasetSettings, **options: Any) -> Loader:
    """Make a Loader of the items of an index.

    Args:
        index: The images and labels.
        settings: How they become items.
        options: Fields of LoaderOptions.

    Returns:
        The loader, at the start of epoch 0.
    """
    return Loader(DetectionDataset(index, settings), LoaderOptions(**options))


def spread_batch(index: DatasetIndex, settings: DatasetSettings) -> Batch:
    """One batch of items, evenly spread over a split. Raises UserError if an image is damaged."""
    count = settings.batch_size
    chosen = np.unique(np.linspace(0, len(index) - 1, count).round().astype(int))
    return next(iter(build_loader(index.subset(chosen), settings)))


class Loader:
    """Iterates over the Batches of the epoch that set_epoch chose.

    lost holds the images that could not be read. The first few are printed to stderr. Iteration
    raises ReadingStopped when a worker process dies or hangs, and when too many images are missing;
    among several processes, the loop must ask lost.too_many itself, since all must stop together.
    note says why batches come slowly, or is "".
    """

    def __init__(self, dataset: DetectionDataset, options: LoaderOptions) -> None:
        self.dataset, self.options = dataset, options
        self.lost = LostImages(-(-len(dataset) // options.world))
        self._plan = _Plan(dataset, options)
        self.watch, self._has_workers = WorkerWatch(options.workers), False
        limit_opencv()
        forget_deaths()
        need, free = self._needed_memory() * processes_here(), free_shared_memory()
        through_pipe = need > free  # a worker that exceeds it would be killed by SIGBUS
        self.note = pipe_note(need, free) if through_pipe and options.pin_memory else ""
        self._batches = DataLoader(
            BatchReader(dataset, self.watch.rows, through_pipe),
            sampler=self._plan,
            batch_size=None,
            collate_fn=_keep,
            generator=torch.Generator(),  # without it torch draws a seed from the global one
            pin_memory=options.pin_memory,
            **self._worker_options(),
        )

    def __len__(self) -> int:
        """The number of batches of a whole epoch."""
        return len(self.numbers)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of the batches that an epoch reads, of all that it has."""
        count = batch_count(len(self.dataset), self._plan.share, self.dataset.settings.rect)
        return range(count) if self._plan.numbers is None else self._plan.numbers

    def read_only(self, numbers: Sequence[int] | None) -> None:
        """Read only the batches of these ascending numbers from the next iteration on; None: all.

        So processes can share the batches of a validation. Then they must stop together where too
        many images are missing, so that iteration does not raise ReadingStopped for that.
        """
        self._plan.numbers = None if numbers is None else tuple(numbers)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose the epoch of the next iteration, and its first batch."""
        self._plan.epoch, self._plan.first_batch = epoch, first_batch

    def close_mosaic(self) -> None:
        """Make no mosaics and no mixup from the next iteration on."""
        self._plan.mosaic = False

    def set_weights(self, weights: np.ndarray | None) -> None:
        """Draw images with these relative chances [n] from the next iteration on.

        None takes each image once.
        """
        self._plan.weights = weights

    def start(self) -> None:
        """Start the worker processes, which an iteration would do otherwise.

        They are copies of this process as it is now. Once it has trained, each would hold on to
        hundreds of megabytes that training has used.
        """
        if self.options.workers and not self._has_workers:
            self._plan.idle = True
            for _ in self._open():
                raise AssertionError("an idle plan has no batches")
            self._plan.idle, self._has_workers = False, True

    def __iter__(self) -> Iterator[Batch]:
        self.lost.start_epoch()
        # The first iteration forks, which is better done before there is another thread. Later ones
        # wait for the workers here, and are watched.
        opened = None if self._has_workers else self._open()
        self._has_workers = True
        batches = self._raw_batches(opened)
        with self.watch.watching(self.dataset.index.path):
            while (raw := self._next(batches)) is not None:
                yield self._finish(raw)

    def _open(self) -> Iterator[RawBatch]:
        with starting_workers():
            batches = iter(self._batches)
            self.watch.started = [one.pid or 0 for one in getattr(batches, "_workers", ())]
            note_deaths()
            return batches

    def _raw_batches(self, opened: Iterator[RawBatch] | None) -> Iterator[RawBatch]:
        yield from self._open() if opened is None else opened

    def _next(self, batches: Iterator[RawBatch]) -> RawBatch | None:
        self.watch.waiting = True
        try:
            return next_or_none(batches, self.watch)
        finally:
            self.watch.waiting = False

    def _finish(self, raw: RawBatch) -> Batch:
        if raw.failures:
            self._count_lost(raw)
        indices, sizes, gains, pads, factors = zip(*raw.rows, strict=True)
        paths = tuple(self.dataset.index.path(i) for i in indices)
        # permute() only changes the view: NCHW over NHWC memory is channels-last without a copy.
        images = torch.as_tensor(raw.images).permute(0, 3, 1, 2)
        targets = torch.from_numpy(raw.targets)
        # They are looked up here, so that no worker sends them.
        scored = not self.dataset.settings.augment
        ignored = torch.from_numpy(self.dataset.index.ignored_rows(indices if scored else ()))
        hsv = torch.tensor(factors) if set(factors) != {NEUTRAL} else None
        if self.options.pin_memory:  # torch's thread has pinned the images, but no array of NumPy
            targets, hsv = targets.pin_memory(), None if hsv is None else hsv.pin_memory()
        return Batch(
            images, targets, indices, paths, sizes, gains, pads, ignored, raw.failures, hsv
        )

    def _count_lost(self, raw: RawBatch) -> None:
        """Print the first images that were not read; raise ReadingStopped if they are too many."""
        before = len(self.lost.reasons)
        new = self.lost.add(raw.failures, raw.read_count, len(raw.rows))
        for path in new[: max(TOLD - before, 0)]:
            told = f"{printable(path)}: {printable(self.lost.reasons[path])}"
            print(f"{told}; used as an empty grey image", file=sys.stderr)
        is_alone = self.options.world == 1 and self._plan.numbers is None
        if self.lost.too_many and is_alone:
            reason = self.lost.stop_reason()
            self.lost.forget(new)
            raise ReadingStopped(f"{reason}; check the disk or network share")

    def _worker_options(self) -> WorkerOptions:
        if not self.options.workers:
            return {"num_workers": 0}
        return {
            "num_workers": self.options.workers,
            "persistent_workers": True,
            "prefetch_factor": PREFETCH,
            "worker_init_fn": start_worker,
            "multiprocessing_context": start_method(),
        }

    def _needed_memory(self) -> float:
        """Bytes of the batches that this process reads ahead, and two that the consumer holds."""
        settings, workers = self.dataset.settings, self.options.workers
        area = int(self.dataset.shapes.prod(1).max()) if settings.rect else settings.imgsz**2
        return 1.5 * (workers * PREFETCH + 2) * settings.batch_size * area * 3 if workers else 0


class _Plan(Sampler[list[ItemKey]]):
    """The keys of the next iteration, a batch at a time.

    It must not refer to its Loader: worker processes end at once only if torch's objects are in no
    reference cycle.
    """

    def __init__(self, dataset: DetectionDataset, options: LoaderOptions) -> None:
        self.dataset, self.shuffle, self.weights = dataset, options.shuffle, options.image_weights
        self.share = Share(dataset.settings.batch_size, options.rank, options.world)
        self.epoch, self.first_batch, self.mosaic, self.idle = 0, 0, True, False
        self.numbers: tuple[int, ...] | None = None

    def __iter__(self) -> Iterator[list[ItemKey]]:
        settings = self.dataset.settings
        within = settings.mosaic_pool == BATCH
        order = Order(settings.seed, self.epoch, self.shuffle, self.weights, within)
        if settings.rect:
            batches = order.rect_batches(self.dataset.order, self.share)
        else:
            batches = order.batches(len(self.dataset), self.share)
        if self.numbers is not None:
            batches = (batch for number, batch in enumerate(batches) if number in self.numbers)
        for batch in islice(() if self.idle else batches, self.first_batch, None):
            yield batch if self.mosaic else [key._replace(mosaic=False) for key in batch]


def _keep(batch: _T) -> _T:
    """The collate_fn of a DataLoader whose data set returns whole batches."""
    return batch
