"""What a run tells: results.csv as YOLOv5 writes it, TensorBoard if installed, progress lines, timing.json."""

from __future__ import annotations

import csv
import json
import math
import time
from pathlib import Path
from typing import Any

from utils.files import atomic_write

COLUMNS = (
    "epoch",
    "train/box_loss", "train/obj_loss", "train/cls_loss",
    "metrics/precision", "metrics/recall", "metrics/mAP_0.5", "metrics/mAP_0.5:0.95",
    "val/box_loss", "val/obj_loss", "val/cls_loss",
    "x/lr0", "x/lr1", "x/lr2",
)  # fmt: skip
TRAIN_HEADER = ("Epoch", "GPU_mem", "box_loss", "obj_loss", "cls_loss", "Instances", "Size")


def train_header() -> str:
    return "".join(f"{name:>11}" for name in TRAIN_HEADER)


def train_row(epoch: str, memory: str, losses: tuple[float, float, float], instances: int, size: int) -> str:
    """One progress line below train_header."""
    return f"{epoch:>11}{memory:>11}" + "".join(f"{value:>11.4g}" for value in (*losses, instances, size))


def read_results(path: Path) -> list[dict[str, float]]:
    """The rows of a results.csv by stripped name; [] if it is not there.

    A cell that is no number is NaN, a line of another length (torn, or edited) is left out.
    """
    if not path.is_file():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if line]
    names = lines[0] if lines else []
    return [dict(zip(names, map(_number, line), strict=True)) for line in lines[1:] if len(line) == len(names)]


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


class ResultsLog:
    """results.csv, rewritten whole and atomically each epoch; TensorBoard files beside it when installed.

    keep_before: of a resumed run, the epoch it starts at; rows from there on are dropped and come again.
    """

    def __init__(self, folder: Path, keep_before: int = 0) -> None:
        self.path = folder / "results.csv"
        self.rows = [row for row in read_results(self.path) if row.get("epoch", 0) < keep_before]
        self._board = _tensorboard(folder, keep_before)

    def add(self, values: dict[str, float]) -> None:
        """Append one epoch; the keys are COLUMNS."""
        self.rows.append(values)
        with atomic_write(self.path, "w") as file:
            file.write(",".join(f"{name:>20}" for name in COLUMNS) + "\n")
            for row in self.rows:
                file.write(",".join(f"{row[name]:>20.5g}" for name in COLUMNS) + "\n")
        if self._board:
            for name, value in values.items():
                if name != "epoch":
                    self._board.add_scalar(name, value, int(values["epoch"]))
            self._board.flush()

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
    """Seconds spent in each part of an iteration, written to timing.json per picture."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(("loader", "forward", "backward", "optimizer"), 0.0)
        self.pictures = 0

    def add(self, part: str, since: float, pictures: int = 0) -> float:
        """Book the time since a mark; return the new mark."""
        now = time.perf_counter()
        self.seconds[part] += now - since
        self.pictures += pictures
        return now

    def write(self, folder: Path) -> None:
        per_picture = {part: total / max(self.pictures, 1) for part, total in self.seconds.items()}
        with atomic_write(folder / "timing.json", "w") as file:
            json.dump({**per_picture, "pictures": self.pictures}, file, indent=2)
