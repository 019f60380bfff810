"""Several frames at once: a batch on a device, threads with a frame each on a processor."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import nn

from engine.inference.console import Found
from engine.inference.detector import Detector
from engine.inference.prepared import Prepared
from engine.inference.threads import Crew
from utils.errors import lacks_memory

USUAL_BATCH, USUAL_THREADS = 8, 4  # frames at once if --batch-size is 0: on a device, a processor
OUR_PACKAGES = ("models.", "torch.")  # their modules keep nothing from one step to the next

Item = Prepared | str  # a frame, or what the source says before it
Answer = Found | str


class Computing:
    """Turns prepared frames into Found, in order; close() ends its threads.

    Text passes through at its place.

    Attributes:
        count: The number of frames computed at once.
    """

    def __init__(self, detector: Detector, most: int) -> None:
        """Begin; `most` is the number of frames that the source has at once."""
        self._detector, self._chooses = detector, not detector.config.batch_size
        self._threads = torch.get_num_threads()
        is_split = detector.device.type == "cpu" and is_divisible(detector.model)
        usual = USUAL_BATCH if detector.device.type != "cpu" else USUAL_THREADS if is_split else 1
        wanted = detector.config.batch_size or usual
        self.count = min(wanted, most, self._threads if is_split else wanted)
        self._crew: Crew[Item, Answer] | None = None
        if is_split and self.count > 1:
            share = functools.partial(torch.set_num_threads, self._threads // self.count)
            self._crew = Crew(self.count, self._alone, share)

    def __call__(self, items: Iterable[Item]) -> Iterator[Answer]:
        if self._crew is not None:
            yield from self._crew.results(items)
            return
        for group in groups(items, lambda: self.count):
            yield from [group] if isinstance(group, str) else self._together(group)

    def close(self) -> None:
        if self._crew is not None:
            self._crew.close()
            # Threads that begin later take the number that was set last, in whatever thread.
            torch.set_num_threads(self._threads)

    def _alone(self, item: Item) -> Answer:
        if isinstance(item, str):
            return item
        (found,) = self._detector.find([item])
        before, *steps = found.times
        network, after = (seconds / self.count for seconds in steps)
        return dataclasses.replace(found, times=(before, network, after))

    def _together(self, group: list[Prepared]) -> list[Found]:
        """Compute a batch. One that does not fit into a device's memory is divided.

        Raises torch's error for a single frame, and for a batch of a size that was given.
        """
        try:
            return self._detector.find(group)
        except RuntimeError as error:  # libraries of CUDA have errors of their own for it
            if len(group) == 1 or not self._chooses or not lacks_memory(error):
                raise
        self.count, found = (len(group) + 1) // 2, list[Found]()
        while group:
            part, group = group[: self.count], group[self.count :]
            found += self._together(part)
        return found


def groups(items: Iterable[Item], size: Callable[[], int]) -> Iterator[list[Prepared] | str]:
    """Group neighbours with one size of input, at most size() of them; text stands alone."""
    group: list[Prepared] = []
    for item in items:
        if group and (isinstance(item, str) or item.size != group[0].size):
            yield group
            group = []
        if isinstance(item, str):
            yield item
            continue
        group.append(item)
        if len(group) >= size():
            yield group
            group = []
    if group:
        yield group


def is_divisible(model: object) -> bool:
    """Whether several threads may call a model at once, with a share of the processor each.

    Modules of other people may keep something between the steps of a call, and so may hooks.
    """
    return (
        isinstance(model, nn.Module)
        and "OpenMP" in torch.__config__.parallel_info()  # others have one pool of threads for all
        and all(
            type(part).__module__.startswith(OUR_PACKAGES)
            and not part._forward_hooks
            and not part._forward_pre_hooks
            for part in model.modules()
        )
    )
