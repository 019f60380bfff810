"""What a study has found: the state of its cells, what finished cells hold, and all of it together.

The cells' folders are the only state of a study. So a study that was killed at any moment
continues, and a report can be made again, from its folder alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.config import StudyConfig
from ablation.files import REMEDY, finite_number, read_curve, read_json, read_metrics, read_timing
from ablation.study import Arm, Cell
from utils.errors import UserError

if TYPE_CHECKING:
    from ablation.statistics.scores import Noise
    from ablation.statistics.verdicts import ArmVerdict

MAX_ATTEMPTS = 2  # a cell that failed is tried again at the next start of the study, once


@dataclass(frozen=True)
class CellResult:
    """What a finished cell holds.

    Attributes:
        arm: name of its arm.
        seed: seed of the baseline's run that it is compared with.
        train_seed: seed that it was trained with.
        folder: where its files are.
        metrics: content of metrics.json.
        curve: rows of results.csv.
        timing: content of timing.json, seconds an image.
    """

    arm: str
    seed: int
    train_seed: int
    folder: Path
    metrics: Mapping[str, object]
    curve: Sequence[Mapping[str, float]]
    timing: Mapping[str, float]

    @property
    def score(self) -> float:
        """mAP50-95 of the best checkpoint, 0..1."""
        return self.metric("map") or 0.0

    def metric(self, name: str) -> float | None:
        """A number of metrics.json, or None if it is missing or null."""
        return finite_number(self.metrics.get(name))

    def class_scores(self) -> dict[tuple[int, str], float | None]:
        """AP of each class by (number, name), or None for a class without labels."""
        rows = self.metrics.get("classes")
        return {
            (row["class_id"], str(row["name"])): row["ap"]
            for row in (rows if isinstance(rows, list) else [])
        }


@dataclass(frozen=True)
class Costs:
    """What an arm costs. A value is None where it is not known.

    Attributes:
        parameters: of the network.
        gflops: 2 x multiply-adds of the fused graph for one image, in 1e9.
        megabytes_moved: read and written by the operations of a forward pass in float32.
        latency_ms: median time of one fused forward pass of one image.
        latency_ratio: median over rounds of that time divided by the baseline's of the same round.
        train_seconds: mean over the cells, without validation.
        memory_mb: peak of training, the largest of the cells.
    """

    parameters: int
    gflops: float
    megabytes_moved: float
    latency_ms: float | None = None
    latency_ratio: float | None = None
    train_seconds: float | None = None
    memory_mb: float | None = None


@dataclass(frozen=True)
class StudyResult:
    """Everything that a report shows.

    Attributes:
        config: the flags, with what train.py would have chosen filled in.
        arms: the baseline first.
        cells: the finished ones.
        failed: why each failed cell failed, by the cell's name.
        verdicts: of every arm but the baseline; empty if the baseline has no scores.
        noise: how much scores scatter; None without verdicts.
        costs: by arm.
        causes: sentences by arm.
        provenance: what is needed to repeat the study, by name.
    """

    config: StudyConfig
    arms: Sequence[Arm]
    cells: Sequence[CellResult]
    failed: Mapping[str, str] = field(default_factory=dict)
    verdicts: Sequence[ArmVerdict] = ()
    noise: Noise | None = None
    costs: Mapping[str, Costs] = field(default_factory=dict)
    causes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def state(cell: Cell) -> str:
    """Whether a cell is "done", "failed", "partial" or "new", by its folder alone.

    train.py writes metrics.json as its last act. An engine writes failed.json when train.py ended
    without it.
    """
    if (cell.folder / "metrics.json").is_file():
        return "done"
    if (cell.folder / "failed.json").is_file():
        return "failed"
    return "partial" if (cell.folder / "weights" / "last.pt").is_file() else "new"


def is_due(cell: Cell) -> bool:
    """Whether a cell is to be run: it is not done, and has not failed twice."""
    now = state(cell)
    if now == "failed":
        attempts = read_json(cell.folder / "failed.json").get("attempts", 1)
        if not isinstance(attempts, int):
            raise UserError(
                f"{cell.folder / 'failed.json'}: attempts: {attempts!r}: must be a number; {REMEDY}"
            )
        return attempts < MAX_ATTEMPTS
    return now != "done"


def read_cells(cells: Iterable[Cell]) -> list[CellResult]:
    """What the finished cells hold. Raises UserError for a damaged file."""
    return [
        CellResult(
            cell.arm.name,
            cell.seed,
            cell.train_seed,
            cell.folder,
            read_metrics(cell.folder / "metrics.json"),
            read_curve(cell.folder / "results.csv"),
            read_timing(cell.folder / "timing.json"),
        )
        for cell in cells
        if state(cell) == "done"
    ]


def read_scores(cells: Iterable[Cell]) -> dict[str, dict[int, float]]:
    """mAP50-95 in 0..1 of the finished cells, by arm and by the seed of the training."""
    scores: dict[str, dict[int, float]] = {}
    for result in read_cells(cells):
        scores.setdefault(result.arm, {})[result.train_seed] = result.score
    return scores


def read_failures(cells: Iterable[Cell]) -> dict[str, str]:
    """Why each failed cell failed, by the cell's name."""
    return {
        cell.name: str(read_json(cell.folder / "failed.json").get("reason", "unknown"))
        for cell in cells
        if state(cell) == "failed"
    }
