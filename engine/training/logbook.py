"""What a run tells: results.csv as YOLOv5 writes it, TensorBoard if installed, progress lines,
timing, final scores.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from utils.files import atomic_write
from utils.structures import Metrics
from utils.tables import format_seconds

SCORES = ("metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95")
RATES = ("x/lr0", "x/lr1", "x/lr2")


def columns(losses: Sequence[str], extra: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of results.csv's columns, YOLOv5's with its terms of the loss; extra ones follow those
    of training.
    """
    train, val = ([f"{split}/{name}_loss" for name in losses] for split in ("train", "val"))
    return ("epoch", *train, *extra, *SCORES, *val, *RATES)


def train_header(losses: Sequence[str]) -> str:
    names = ("Epoch", "GPU_mem", *(f"{name}_loss" for name in losses), "Instances", "Size")
    return "".join(f"{name:>11}" for name in names)


def train_row(epoch: str, memory: str, losses: Sequence[float], instances: int, size: int) -> str:
    """One progress line below train_header."""
    return f"{epoch:>11}{memory:>11}" + "".join(
        f"{value:>11.4g}" for value in (*losses, instances, size)
    )


def time_to_come(seconds: float, epochs: int) -> str:
    """What the other epochs will take, told from the seconds of one with its validation."""
    rest = format_seconds(epochs * seconds)
    return f"One epoch took {format_seconds(seconds)}; the other {epochs} take about {rest}."


def read_results(path: Path) -> list[dict[str, float]]:
    """The rows of a results.csv by stripped name; [] if it is not there.

    A cell that is no number is NaN, a line of another length (torn, or edited) is left out.
    """
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    names = lines[0] if lines else []
    return [
        dict(zip(names, map(_number, line), strict=True))
        for line in lines[1:]
        if len(line) == len(names)
    ]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


class ResultsLog:
    """results.csv, rewritten whole and atomically each epoch; TensorBoard files beside it when
    installed.

    names: of the columns, see columns(). keep_before: of a resumed run, the epoch it starts at;
    rows from there on are dropped and come again.
    """

    def __init__(self, folder: Path, names: Sequence[str], keep_before: int = 0) -> None:
        self.path, self.names = folder / "results.csv", tuple(names)
        self.rows = [row for row in read_results(self.path) if row.get("epoch", 0) < keep_before]
        self._board = _tensorboard(folder, keep_before)

    def add(self, train: dict[str, float], metrics: Metrics | None, rates: Sequence[float]) -> None:
        """Append one epoch: its number and training figures by column name, its scores, a learning
        rate per group.

        Without a validation the former scores stand again, as in YOLOv5.
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
        with atomic_write(self.path, "w") as file:
            file.write(",".join(f"{name:>20}" for name in self.names) + "\n")
            for row in self.rows:
                file.write(
                    ",".join(f"{row.get(name, math.nan):>20.5g}" for name in self.names) + "\n"
                )

    def close(self) -> None:
        if self._board:
            self._board.close()


def _tensorboard(folder: Path, first_epoch: int) -> Any:
    """A TensorBoard writer, or None where the package is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_epoch or None)


class Timing:
    """Seconds spent in each part of an iteration, written to timing.json per image."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("loader", "forward", "backward", "optimizer"), 0.0)
        self.images = 0

    def add(self, part: str, since: float, images: int = 0) -> float:
        """Book the time since a mark; return the new mark."""
        now = time.perf_counter()
        self.seconds[part] += now - since
        self.images += images
        return now

    def write(self, folder: Path) -> None:
        per_image = {part: total / max(self.images, 1) for part, total in self.seconds.items()}
        with atomic_write(folder / "timing.json", "w") as file:
            json.dump({**per_image, "images": self.images}, file, indent=2)


def write_metrics(folder: Path, metrics: Metrics, more: dict[str, Any]) -> None:
    """Write metrics.json: the scores of a run's best checkpoint, whole and by class and size, and
    `more`.

    It is the last thing a run writes, so its being there says that the run is finished. NaN becomes
    null.
    """
    names = (
        "images",
        "instances",
        "precision",
        "recall",
        "map50",
        "map",
        "ap_small",
        "ap_medium",
        "ap_large",
        "protocol",
        "speed_ms",
    )
    content = {name: getattr(metrics, name) for name in names}
    content["classes"] = [dataclasses.asdict(row) for row in metrics.classes]
    with atomic_write(folder / "metrics.json", "w") as file:
        json.dump(_plain({**content, **more}), file, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    """Mappings, lists and numbers as JSON has them."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
