"""How long a study would take, before it starts: a few batches of the plain graph, through
train.py's own loop.

An arm is taken to train slower than the plain graph by as much as its forward pass does, and a
validation to take one forward pass a image, so the figure is an estimate: the backward pass, NMS
and images that are not yet in the cache are where it is wrong, and so are cells that slow each
other down.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ablation.setup import SHARED, Slot, make_slots, read_train_flags
from ablation.study import Cell, Costs, StudyConfig
from engine.training.logbook import Timing
from engine.training.plan import plan
from train import train_epoch
from utils.device import describe_device
from utils.signals import StopRequested

WARM_UP, MEASURED = 2, 6  # batches


class Countdown:
    """Stands for train_epoch's stop signal: forgets the first batches' times, and stops after some
    more.
    """

    def __init__(self, timing: Timing, warm_up: int, measured: int) -> None:
        self.timing, self.warm_up, self.last, self.batches = timing, warm_up, warm_up + measured, 0

    @property
    def status(self) -> int:
        """Read once after each batch."""
        self.batches += 1
        if self.batches == self.warm_up:
            self.timing.seconds = dict.fromkeys(self.timing.seconds, 0.0)
            self.timing.images = 0
        return int(self.batches >= self.last)


@dataclass(frozen=True)
class Pace:
    """Seconds of a image in training and in validation, how many of each an epoch has, and where."""

    train: float
    val: float
    images: tuple[int, int]
    device: str

    @property
    def epoch(self) -> float:
        return self.train * self.images[0] + self.val * self.images[1]


def measure_pace(config: StudyConfig, slot: Slot) -> Pace:
    """Train the plain graph for a few batches, in a folder that is thrown away, with what a slot
    would have.
    """
    given: dict[str, Any] = {
        name: getattr(config, name) for name in SHARED if getattr(config, name)
    }
    given |= {
        **read_train_flags(config.train),
        "device": slot.device,
        "workers": slot.workers,
        "noplots": True,
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(int(slot.environment.get("OMP_NUM_THREADS", threads)))
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            run = plan({**given, "project": folder, "name": "pace"})
            warm_up = min(WARM_UP, len(run.setup.loaders[0]) - 1)
            timing = Timing()
            with contextlib.suppress(StopRequested), contextlib.redirect_stderr(io.StringIO()):
                train_epoch(run, Countdown(timing, warm_up, MEASURED), timing)  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    seconds = {part: value / max(timing.images, 1) for part, value in timing.seconds.items()}
    return Pace(
        sum(seconds.values()),
        seconds["forward"],
        (len(run.setup.data[0]), len(run.setup.data[1])),
        describe_device(run.setup.device),
    )


def estimate_seconds(
    config: StudyConfig, cells: Sequence[Cell], costs: Mapping[str, Costs], pace: Pace
) -> float:
    """Seconds until all the cells are done, slots sharing the work evenly."""
    ratios = [costs[cell.arm.name].latency_ratio or 1.0 for cell in cells]
    return (
        sum(ratios) * pace.epoch * config.epochs / min(len(make_slots(config)), max(len(cells), 1))
    )
