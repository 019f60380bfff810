"""Batches: the processes that read ahead, and items laid together.

Items come from data/dataset.py in the order of data/order.py; train.py and val.py take the Batches.
The key of every item travels with the request (epoch, repeat, whether mosaics are on), so worker
processes have no state: any number of them, started at any epoch and batch, gives the same pixels
in the same order.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from data.dataset import DatasetSettings, DetectionDataset, ItemKey
from data.order import Order, Share, batch_count
from utils.errors import UserError
from utils.structures import Batch, Item

PREFETCH = 2  # batches that each worker reads ahead
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class LoaderOptions:
    """Who gets which items, in which order, by how many processes.

    workers: processes, exactly so many; 0 reads in this one (see choose_workers). image_weights:
    [n] relative chances of images, drawn with replacement. rank, world: this process's share of
    every batch. pin_memory: for CUDA. start_method: fork or spawn; None takes fork where it is
    safe.
    """

    workers: int = 0
    shuffle: bool = False
    image_weights: np.ndarray | None = None
    rank: int = 0
    world: int = 1
    pin_memory: bool = False
    start_method: str | None = None


class RawBatch(NamedTuple):
    """A batch on its way between processes.

    images: [B, H, W, 3] uint8, a tensor in shared memory, or an array if it goes through a pipe.
    targets: [T, 6]. rows: per item its index, original size, gain and pad. failures: (path, reason)
    of images that were not read.
    """

    images: Any
    targets: np.ndarray
    rows: tuple[tuple[Any, ...], ...]
    failures: tuple[tuple[str, str], ...]


def choose_workers(requested: int, device_type: str, batch_size: int) -> int:
    """How many loader processes to use, at most requested: no more than cores or images in a
    batch.

    Where the processor also computes the network (device_type cpu), one for four cores: it decodes
    in the gaps that computation leaves, and more of them would only take cores away from it.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    cores = max(
        cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1
    )  # torchrun's processes share the machine
    useful = max(cores // 4, 1) if device_type == "cpu" else cores
    return min(requested, useful, batch_size if batch_size > 1 else 0)


def build_loader(index: Any, settings: DatasetSettings, **options: Any) -> Loader:
    """A Loader over a data.index.DatasetIndex; options are the fields of LoaderOptions."""
    return Loader(DetectionDataset(index, settings), LoaderOptions(**options))


class Loader:
    """Iterates over the Batches of the epoch that set_epoch chose.

    failures: path -> reason of images that could not be read so far; each is told once on stderr.
    Raises UserError when a worker process dies.
    """

    def __init__(self, dataset: DetectionDataset, options: LoaderOptions) -> None:
        self.dataset, self.options = dataset, options
        self.failures: dict[str, str] = {}
        self._plan = _Plan(dataset, options)
        _calm_opencv()
        self._batches = DataLoader(
            _BatchReader(dataset, through_pipe=not self._fits_shared_memory()),
            sampler=self._plan,
            batch_size=None,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # or torch would draw from the global one
            pin_memory=options.pin_memory,
            **self._worker_options(),
        )

    def __len__(self) -> int:
        """Batches of a whole epoch."""
        return batch_count(len(self.dataset), self._plan.share, self.dataset.settings.rect)

    def set_epoch(self, epoch: int, first_batch: int = 0) -> None:
        """Choose what the next iteration yields: an epoch, from one of its batches on."""
        self._plan.epoch, self._plan.first_batch = epoch, first_batch

    def close_mosaic(self) -> None:
        """From the next iteration on, no mosaics and no mixup."""
        self._plan.mosaic = False

    def set_weights(self, weights: np.ndarray | None) -> None:
        """From the next iteration on, draw images with these relative chances [n], or each once
        for None.
        """
        self._plan.weights = weights

    def __iter__(self) -> Iterator[Batch]:
        with _no_interrupts():
            batches = iter(self._batches)
        while (raw := _next_or_none(batches)) is not None:
            yield self._finish(raw)

    def _finish(self, raw: RawBatch) -> Batch:
        for path, reason in raw.failures:
            if path not in self.failures:
                print(f"{path}: {reason}; used as an empty grey image", file=sys.stderr)
                self.failures[path] = reason
        indices, sizes, gains, pads = zip(*raw.rows, strict=True)
        paths = tuple(self.dataset.index.path(i) for i in indices)
        images = torch.as_tensor(raw.images).permute(
            0, 3, 1, 2
        )  # NCHW in channels-last order, no copy
        return Batch(images, torch.from_numpy(raw.targets), indices, paths, sizes, gains, pads)

    def _worker_options(self) -> dict[str, Any]:
        if not self.options.workers:
            return {"num_workers": 0}
        return {
            "num_workers": self.options.workers,
            "persistent_workers": True,
            "prefetch_factor": PREFETCH,
            "worker_init_fn": _start_worker,
            "multiprocessing_context": (
                self.options.start_method or ("fork" if sys.platform == "linux" else "spawn")
            ),
        }

    def _fits_shared_memory(self) -> bool:
        """Whether all batches under way fit /dev/shm, 64 MB in a plain container; otherwise they go
        through pipes.
        """
        if not self.options.workers or not SHARED_MEMORY.is_dir():
            return True
        settings = self.dataset.settings
        area = int(self.dataset.shapes.prod(1).max()) if settings.rect else settings.imgsz**2
        under_way = self.options.workers * PREFETCH + 2  # and those that the consumer holds
        return (
            1.5 * under_way * settings.batch_size * area * 3 < shutil.disk_usage(SHARED_MEMORY).free
        )


class _Plan(Sampler[list[ItemKey]]):
    """What the next iteration reads: the keys of a batch at a time.

    It does not know its Loader: worker processes end at once only where torch's objects are in no
    reference cycle.
    """

    def __init__(self, dataset: DetectionDataset, options: LoaderOptions) -> None:
        self.dataset, self.shuffle, self.weights = dataset, options.shuffle, options.image_weights
        self.share = Share(dataset.settings.batch_size, options.rank, options.world)
        self.epoch, self.first_batch, self.mosaic = 0, 0, True

    def __iter__(self) -> Iterator[list[ItemKey]]:
        order = Order(self.dataset.settings.seed, self.epoch, self.shuffle, self.weights)
        if self.dataset.settings.rect:
            batches = order.rect_batches(self.dataset.order, self.share)
        else:
            batches = order.batches(len(self.dataset), self.share)
        for batch in islice(batches, self.first_batch, None):
            yield batch if self.mosaic else [key._replace(mosaic=False) for key in batch]


class _BatchReader(Dataset[RawBatch]):
    """The part of a loader that worker processes have: keys in, a batch out."""

    def __init__(self, dataset: DetectionDataset, through_pipe: bool) -> None:
        self.dataset, self.through_pipe = dataset, through_pipe

    def __getitem__(self, keys: list[ItemKey]) -> RawBatch:
        items = [self.dataset[key] for key in keys]
        pictures = [np.ascontiguousarray(item.image.transpose(1, 2, 0)) for item in items]
        stacked = (
            np.stack(pictures)
            if self.through_pipe
            else default_collate([torch.from_numpy(p) for p in pictures])
        )
        rows = tuple((item.index, item.original_size, item.gain, item.pad) for item in items)
        failures = tuple(self.dataset.failures.items())
        self.dataset.failures.clear()
        return RawBatch(stacked, collate_targets(items), rows, failures)


def collate_targets(items: list[Item]) -> np.ndarray:
    """[T, 6] float32 of all items: place in the batch, class, x1, y1, x2, y2."""
    counts = [len(item.boxes) for item in items]
    targets = np.empty((sum(counts), 6), dtype=np.float32)
    targets[:, 0] = np.arange(len(items)).repeat(counts)
    targets[:, 1] = np.concatenate([item.classes for item in items])
    targets[:, 2:] = np.concatenate([item.boxes for item in items])
    return targets


def _next_or_none(batches: Iterator[RawBatch]) -> RawBatch | None:
    """The next batch, None at the end. Raises UserError if a worker process has died."""
    try:
        return next(batches, None)
    except (ConnectionError, EOFError, FileNotFoundError):  # it died while handing over a batch
        cause = "a DataLoader worker ended"
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        cause = str(error).splitlines()[0].rstrip(".")
    raise UserError(
        f"{cause}: perhaps memory is short; try --workers 0, a smaller --batch-size or --cache no"
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _calm_opencv() -> None:
    """One thread per process for OpenCV: small images gain nothing from more, and the network
    needs the cores.
    """
    import cv2

    cv2.setNumThreads(0)


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back for a moment, so that no process is hit by it before _start_worker has run
    there.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(worker: int) -> None:
    """Leave the terminal's process group: Ctrl-C and SIGTERM reach the main process alone, which
    decides.

    Should the main process die, torch's own watchdog in the worker ends it. A main process that is
    interrupted while it fetches a batch hangs up in the middle of a handshake, which is no news
    either.
    """
    _calm_opencv()
    sys.excepthook = _report_but_hangups
    if hasattr(os, "setsid"):
        os.setsid()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _report_but_hangups(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """sys.excepthook of worker processes."""
    if not issubclass(kind, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)
