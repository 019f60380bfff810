"""The records of a run: results.csv as in YOLOv5, TensorBoard, progress lines, timing, scores.

train.py calls these in each epoch and at the end; they print lines and write to the run's folder.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.training.run import Progress, Run, Setup
from utils.device import memory_text
from utils.files import atomic_write, read_results
from utils.structures import Metrics
from utils.tables import format_seconds

SCORES = ("metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95")
RATES = ("x/lr0", "x/lr1", "x/lr2")
CELL_WIDTH = 11  # of a progress line, as in YOLOv5; longer names have wider cells


def columns(losses: Sequence[str], extra: Iterable[str] = ()) -> tuple[str, ...]:
    """The names of results.csv's columns.

    losses holds the names of the loss's terms, extra the columns that follow their train/ columns.
    """
    train, val = ([f"{split}/{name}_loss" for name in losses] for split in ("train", "val"))
    return ("epoch", *train, *extra, *SCORES, *val, *RATES)


def train_header(losses: Iterable[str]) -> str:
    """The heading of an epoch's progress line; losses holds the names of the loss's terms."""
    names = ("Epoch", "GPU_mem", *(f"{name}_loss" for name in losses), "Instances", "Size")
    return "".join(f"{name:>{_cell_width(name)}}" for name in names)


def train_row(
    epoch: str, memory: str, losses: Mapping[str, float], instances: int, size: int
) -> str:
    """One progress line below train_header.

    Args:
        epoch: Number of the epoch and of the last one, such as "3/99".
        memory: Memory in use on the device, as text.
        losses: Name of a term -> its mean so far.
        instances: Number of labels in the last batch.
        size: Width of that batch's images, pixels.
    """
    means = "".join(f"{value:>{_cell_width(f'{name}_loss')}.4g}" for name, value in losses.items())
    width = CELL_WIDTH
    return f"{epoch:>{width}}{memory:>{width}}{means}{instances:>{width}.4g}{size:>{width}.4g}"


def progress_row(setup: Setup, progress: Progress, instances: int, size: int) -> str:
    """The line below train_header, with the mean of each loss term over the epoch so far.

    Args:
        setup: The fixed part of the run.
        progress: The position of the run, after the last batch.
        instances: Number of labels in the last batch.
        size: Width of that batch's images, pixels.
    """
    means = (value / max(progress.batch, 1) for value in progress.loss_sums)
    losses = dict(zip(setup.loss.names, means, strict=True))
    epoch = f"{progress.epoch}/{setup.config.epochs - 1}"
    return train_row(epoch, memory_text(setup.device), losses, instances, size)


def _cell_width(name: str) -> int:
    return max(CELL_WIDTH, len(name) + 1)


def time_to_come(seconds: float, epochs: int) -> str:
    """State how long the remaining epochs will take if each takes these seconds."""
    rest = format_seconds(epochs * seconds)
    return f"One epoch took {format_seconds(seconds)}; the other {epochs} take about {rest}."


class ResultsLog:
    """results.csv, rewritten whole and atomically each epoch, and TensorBoard's files beside it."""

    def __init__(self, folder: Path, names: Sequence[str], keep_before: int = 0) -> None:
        """Read the rows that a resumed run has written already.

        Args:
            folder: The run's folder.
            names: Names of the columns, as columns() returns them.
            keep_before: The epoch at which a resumed run starts; rows from there on are dropped,
                since they will be written again.
        """
        self.path, self.names = folder / "results.csv", tuple(names)
        wanted = range(keep_before)
        self.rows = [row for row in read_results(self.path) if row.get("epoch") in wanted]
        self._board = _tensorboard(folder, keep_before)

    def add(
        self, train: Mapping[str, float], metrics: Metrics | None, rates: Sequence[float]
    ) -> None:
        """Append one epoch.

        Args:
            train: Number and training figures of the epoch, by column.
            metrics: Scores of the epoch; None repeats the last row's scores, as in YOLOv5.
            rates: The learning rate of each parameter group.
        """
        former = self.rows[-1] if self.rows else {}
        tested = [*SCORES, *(name for name in self.names if name.startswith("val/"))]
        values = {name: former.get(name, 0.0) for name in tested}
        if metrics is not None:
            scores = (
                metrics.precision,
                metrics.recall,
                metrics.map50,
                metrics.map,
                *metrics.losses,
            )
            values = dict(zip(tested, scores, strict=True))
        row = {**train, **values, **dict(zip(RATES, rates, strict=True))}
        self.rows.append(row)
        self._write()
        if self._board:
            for name in self.names[1:]:
                self._board.add_scalar(name, row[name], int(row["epoch"]))
            self._board.flush()

    def _write(self) -> None:
        # The file is rewritten instead of appended to, so that a crash never leaves half a row, and
        # a resumed run can drop the rows that it will write again.
        with atomic_write(self.path, "w") as file:
            file.write(",".join(f"{name:>20}" for name in self.names) + "\n")
            for row in self.rows:
                file.write(
                    ",".join(f"{row.get(name, math.nan):>20.5g}" for name in self.names) + "\n"
                )

    def lost_epochs(self, before: int) -> str:
        """The numbers of the epochs before this one that have no row, a few of many; "" if none."""
        present = {row.get("epoch") for row in self.rows}
        lost = [str(epoch) for epoch in range(before) if epoch not in present]
        return ", ".join(lost if len(lost) < 6 else [*lost[:4], "…", lost[-1]])

    def close(self) -> None:
        """Close TensorBoard's file."""
        if self._board:
            # If its disk is full, add() has said so.
            with contextlib.suppress(OSError):
                self._board.close()


def open_log(run: Run) -> ResultsLog:
    """Open results.csv and TensorBoard's files; a note says which rows a resumed run has lost."""
    setup, progress = run.setup, run.state.progress
    names = columns(setup.loss.names, run.state.sparsity.columns())
    log = ResultsLog(setup.folder, names, progress.epoch)
    lost = log.lost_epochs(progress.epoch)
    if lost:
        progress.add_note(f"results.csv was damaged: it lacks the rows of epochs {lost}")
    return log


class TensorBoardWriter(Protocol):
    """The part of TensorBoard's writer that is used here."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> None: ...
    def flush(self) -> None: ...
    def close(self) -> None: ...


def _tensorboard(folder: Path, first_epoch: int) -> TensorBoardWriter | None:
    """A TensorBoard writer, or None where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # A resumed run repeats these epochs, so TensorBoard drops their earlier events.
    return SummaryWriter(str(folder), purge_step=first_epoch or None)


class StepTiming:
    """Seconds spent in each part of an iteration, written to timing.json per image."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("loader", "forward", "backward", "optimizer"), 0.0)
        self.images, self._first_wait = 0, 0.0

    def add(self, part: str, since: float, images: int = 0) -> float:
        """Add the seconds since a mark to a part; return the new mark.

        Args:
            part: One of the keys of `seconds`.
            since: The mark, as time.perf_counter() gives it.
            images: Images of the iteration, passed once when it is complete.
        """
        now = time.perf_counter()
        self.seconds[part] += now - since
        self.images += images
        if part == "loader" and not self._first_wait:
            self._first_wait = now - since
        return now

    def waited_share(self) -> float:
        """The share of the time that was spent waiting for batches.

        The first one is left out, since it takes as long as the loader needs to start.
        """
        whole = sum(self.seconds.values()) - self._first_wait
        return (self.seconds["loader"] - self._first_wait) / whole if whole > 0 else 0.0

    def write(self, folder: Path) -> None:
        """Write timing.json."""
        per_image = {part: total / max(self.images, 1) for part, total in self.seconds.items()}
        with atomic_write(folder / "timing.json", "w") as file:
            json.dump({**per_image, "images": self.images}, file, indent=2)
