"""How long a study would take, measured on a few batches of the baseline in train.py's own loop.

Two things are assumed: an arm's training time exceeds the baseline's in the ratio of their forward
passes, and validation takes one forward pass for each image. So the figure is an estimate. It is
wrong if the backward pass or NMS has another ratio, if images are not in the cache yet, or if runs
at the same time slow each other down.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ablation.config import StudyConfig
from ablation.results import Costs
from ablation.setup import Slot, make_slots, read_train_flags, shared_flags
from ablation.study import Cell
from engine.training.ending import Keeper
from engine.training.logbook import StepTiming
from engine.training.plan import plan
from train import train_epoch
from utils.device import describe_device
from utils.signals import StopRequested

WARM_UP, MEASURED = 2, 6  # batches
MOST_SECONDS = 5.0  # after which batches that take long are not measured any more


class Countdown:
    """A stop signal that ends train_epoch after some batches and discards the times of the first.

    At least one batch is measured, and no further one after MOST_SECONDS. train_epoch reads
    `status` once after each batch, so counting the reads counts the batches.

    Args:
        timing: the times, which are reset after the warm-up.
        warm_up: number of batches that are not measured.
        measured: number of batches that are measured.
    """

    def __init__(self, timing: StepTiming, warm_up: int, measured: int) -> None:
        self.timing, self.warm_up, self.last, self.batches = timing, warm_up, warm_up + measured, 0
        self.start = time.monotonic()

    @property
    def status(self) -> int:
        self.batches += 1
        if self.batches == self.warm_up:
            self.timing.seconds = dict.fromkeys(self.timing.seconds, 0.0)
            self.timing.images = 0
        late = self.batches > self.warm_up and time.monotonic() - self.start > MOST_SECONDS
        return int(late or self.batches >= self.last)


@dataclass(frozen=True)
class Pace:
    """How fast the baseline trains.

    Attributes:
        train: seconds of training per image.
        val: seconds of validation per image.
        images: number of training and of validation images in an epoch.
        device: description of the device on which it was measured.
    """

    train: float
    val: float
    images: tuple[int, int]
    device: str

    @property
    def epoch(self) -> float:
        """Seconds of an epoch."""
        return self.train * self.images[0] + self.val * self.images[1]


def measure_pace(config: StudyConfig, slot: Slot) -> Pace:
    """Time the baseline on a few batches with a slot's resources, in a temporary folder."""
    given = {
        **shared_flags(config),
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
            # A small data set may have fewer batches than the warm-up.
            warm_up = min(WARM_UP, len(run.setup.loaders[0]) - 1)
            timing = StepTiming()
            with contextlib.suppress(StopRequested), contextlib.redirect_stderr(io.StringIO()):
                stop = Countdown(timing, warm_up, MEASURED)
                train_epoch(Keeper(run, stop), timing)  # type: ignore[arg-type]
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
    """Seconds that a study takes if its slots share the work evenly.

    Args:
        config: the flags.
        cells: the cells to run.
        costs: the costs of every arm, by name.
        pace: the baseline's pace.
    """
    ratios = [costs[cell.arm.name].latency_ratio or 1.0 for cell in cells]
    slots = min(len(make_slots(config)), max(len(cells), 1))
    return sum(ratios) * pace.epoch * config.epochs / slots
