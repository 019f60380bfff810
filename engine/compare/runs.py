"""What a run's folder holds: scores, curves, epochs, settings, weights.

A folder may come from train.py or val.py, from YOLOv5 (opt.yaml, hyp.yaml, results.csv) or from
Ultralytics (args.yaml, results.csv). The scores of other programs follow rules of their own, so
that only their epochs are taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.evaluation.curves_file import CURVES_FILE, SavedCurves, read_curves
from utils.errors import UserError
from utils.files import read_results, with_gaps
from utils.json_file import load_json
from utils.text import printable
from utils.yaml_file import load_yaml

# Names of the same column in results.csv of YOLOv5 and of this project, and of Ultralytics.
HISTORY = {
    "map50": ("metrics/mAP_0.5", "metrics/mAP50(B)"),
    "map": ("metrics/mAP_0.5:0.95", "metrics/mAP50-95(B)"),
}
REMEDY = "give the folder of a run that has ended, or run it again"


@dataclass(frozen=True)
class ComparedRun:
    """One run.

    Attributes:
        folder: Its folder.
        program: "train.py", "val.py", "YOLOv5" or "Ultralytics".
        settings: What it was trained with, flags and hyperparameters; {} if that is not known.
        metrics: The content of metrics.json; {} for other programs and for runs that go on.
        curves: The content of curves.npz, if there is one.
        epochs: [n] numbers from 1 on.
        history: "map50" and "map" -> [n] scores in 0..1 of these epochs.
        weights: The best checkpoint, if it is there.
    """

    folder: Path
    program: str
    settings: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, object] = field(default_factory=dict)
    curves: SavedCurves | None = None
    epochs: Sequence[int] = ()
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    weights: Path | None = None

    @property
    def name(self) -> str:
        """The folder's name, as it may be shown."""
        return printable(self.folder.resolve().name, 60)

    @property
    def seed(self) -> int | None:
        """The seed of the training; None if it is not known."""
        seed = self.settings.get("seed")
        return seed if type(seed) is int else None

    def metric(self, name: str) -> float:
        """A score of metrics.json in 0..1; NaN if it is missing."""
        return share_of(self.metrics.get(name))

    def error_cost(self, kind: str) -> float:
        """What a kind of error costs in mAP50, -1..1; NaN where it was not measured."""
        errors = self.metrics.get("errors")
        found = errors.get(kind) if isinstance(errors, dict) else None
        cost = found.get("map50_cost") if isinstance(found, dict) else None
        return float(cost) if isinstance(cost, float) and -1 <= cost <= 1 else math.nan

    def class_rows(self) -> list[Mapping[str, object]]:
        """The rows of metrics.json, one for each class that has labels."""
        rows = self.metrics.get("classes")
        return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def share_of(value: object) -> float:
    """A number in 0..1 as it is; NaN for anything else."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value <= 1 else math.nan  # type: ignore[arg-type, operator]


def read_run(folder: Path) -> ComparedRun:
    """Read a run's folder.

    Raises UserError if there is no such folder, it holds no run, or one of its files is damaged.
    """
    shown = printable(folder)
    if not folder.is_dir():
        raise UserError(f"{shown}: no such folder; give folders of runs, such as runs/train/exp")
    metrics = _read_metrics(folder / "metrics.json")
    rows = with_gaps(read_results(folder / "results.csv"))
    if not metrics and not rows:
        raise UserError(
            f"{shown}: has neither metrics.json nor rows in results.csv; give the folder of a run"
        )
    weights = _weights(folder, metrics)
    # A validation has no settings of a training; its weights lie in the folder that has them.
    trained = folder if rows or weights is None else weights.resolve().parent.parent
    curves = folder / CURVES_FILE
    return ComparedRun(
        folder,
        _program(folder, metrics, rows),
        read_settings(trained),
        metrics,
        read_curves(curves) if curves.exists() else None,
        *_read_history(rows),
        weights,
    )


def _read_metrics(path: Path) -> dict[str, object]:
    """The content of metrics.json, {} without the file. Raises UserError for an impossible mAP."""
    if not path.exists():
        return {}
    metrics = load_json(path, REMEDY)
    if math.isnan(share_of(metrics.get("map"))):
        raise UserError(f"{printable(path)}: map: must be a number between 0 and 1; {REMEDY}")
    return metrics


def _weights(folder: Path, metrics: Mapping[str, object]) -> Path | None:
    """The checkpoint that a run scored or made; None if it is gone, or several made an ensemble."""
    own = folder / "weights" / "best.pt"
    if own.is_file():
        return own
    named = metrics.get("weights")
    is_one = isinstance(named, list) and len(named) == 1 and isinstance(named[0], str)
    path = Path(named[0]) if is_one else None  # type: ignore[index]
    return path if path is not None and "\0" not in str(path) and path.is_file() else None


def _program(folder: Path, metrics: object, rows: Sequence[Mapping[str, float]]) -> str:
    """The program that wrote a folder."""
    if not rows:
        return "val.py"
    if (folder / "args.yaml").is_file():
        return "Ultralytics"
    # YOLOv5 writes no metrics.json, and its opt.yaml does not name a protocol.
    own = metrics or "protocol" in read_settings(folder)
    return "train.py" if own else "YOLOv5"


def read_settings(folder: Path) -> dict[str, object]:
    """The flags and hyperparameters of a training, the latter as hyp.NAME; {} if unknown.

    Raises UserError for a damaged file.
    """
    files = {"args.yaml": "", "opt.yaml": "", "hyp.yaml": "hyp."}
    return {
        f"{prefix}{key}": value
        for name, prefix in files.items()
        if (folder / name).is_file()
        for key, value in load_yaml(folder / name).items()
    }


def _read_history(
    rows: Sequence[Mapping[str, float]],
) -> tuple[list[int], dict[str, list[float]]]:
    """The numbers of the epochs, from 1 on, and the scores of each."""
    numbered = [row for row in rows if math.isfinite(row.get("epoch", math.nan))]
    # Ultralytics counts epochs from 1 on, YOLOv5 and this project from 0.
    first = 1 if numbered and "metrics/mAP50(B)" not in numbered[0] else 0
    epochs = [int(row["epoch"]) + first for row in numbered]
    history = {
        name: [share_of(row.get(theirs, row.get(other))) for row in numbered]
        for name, (theirs, other) in HISTORY.items()
    }
    return epochs, history
