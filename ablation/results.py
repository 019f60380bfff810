"""The results of a study: the state of its cells, the content of finished cells, and the whole.

The cells' folders are the only state of a study. So a study that was killed at any moment can
continue, and a report can be made again, from its folder alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ablation.config import StudyConfig
from ablation.files import REMEDY, finite_number, read_curve, read_json, read_metrics, read_timing
from ablation.study import Arm, Cell
from utils.errors import UserError

if TYPE_CHECKING:
    from ablation.statistics.scores import Noise
    from ablation.statistics.sequential import Looks
    from ablation.statistics.verdicts import ArmVerdict

MAX_ATTEMPTS = 2  # a cell that failed is tried again at the next start of the study, once


@dataclass(frozen=True)
class CellResult:
    """The content of a finished cell.

    Attributes:
        arm: name of its arm.
        seed: seed of the baseline's run that it is compared with.
        train_seed: seed that it was trained with.
        folder: folder of its files.
        metrics: content of metrics.json.
        curve: rows of results.csv.
        timing: content of timing.json, seconds per image and the number of images.
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
    """The costs of an arm. A value that is not known is None.

    Attributes:
        parameters: number of parameters of the network.
        gflops: 2 x multiply-adds of the fused graph for one image, in 1e9.
        megabytes_moved: MB that a forward pass in float32 reads and writes.
        latency_ms: median time of one fused forward pass of one image.
        latency_ratio: median over rounds of that time divided by the baseline's of the same round.
        train_seconds: seconds of training without validation, mean over the cells.
        memory_mb: peak memory of training, the largest of the cells, MB.
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
        config: the flags, completed by the values that train.py chooses.
        arms: all arms, the baseline first.
        cells: the finished cells.
        failed: why each failed cell failed, by the cell's name.
        verdicts: a verdict for every arm but the baseline; empty if the baseline has no scores.
        noise: how much scores scatter; None without verdicts.
        costs: costs by arm.
        causes: sentences on possible causes by arm.
        provenance: what is needed to repeat the study, by name.
        looks: the looks taken; None for a study that is judged once.
        stopped: names of arms that --futility stopped in a study that is judged once.
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
    looks: Looks | None = None
    stopped: Collection[str] = ()


def state(cell: Cell) -> str:
    """The state of a cell by its folder alone: "done", "failed", "partial" or "new".

    train.py writes metrics.json last of all. An engine writes failed.json if train.py ended without
    metrics.json.
    """
    if (cell.folder / "metrics.json").is_file():
        return "done"
    if (cell.folder / "failed.json").is_file():
        return "failed"
    return "partial" if (cell.folder / "weights" / "last.pt").is_file() else "new"


def is_due(cell: Cell) -> bool:
    """Whether a cell must be run: it is not done, and has failed fewer than MAX_ATTEMPTS times."""
    now = state(cell)
    if now == "failed":
        return (count_attempts(cell.folder) or 1) < MAX_ATTEMPTS
    return now != "done"


def read_failure(folder: Path) -> dict[str, object]:
    """The content of failed.json; {} if it is missing or damaged, which must not end a study."""
    try:
        return read_json(folder / "failed.json")
    except UserError:
        return {}


def count_attempts(folder: Path) -> int:
    """How often a cell has failed, by its failed.json; 0 if that is not known."""
    return int(finite_number(read_failure(folder).get("attempts")) or 0)


def read_cells(cells: Iterable[Cell]) -> list[CellResult]:
    """Read the finished cells. Raises UserError for a damaged file."""
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


def set_damaged_aside(cells: Iterable[Cell]) -> list[str]:
    """Move the folders of finished cells with damaged files aside, so that their runs are repeated.

    Nothing is deleted. Returns a sentence for each, which names the damage and the new place.
    """
    said = []
    for cell in cells:
        try:
            read_cells([cell])
        except UserError as error:
            numbers = (f".damaged{number or ''}" for number in itertools.count())
            places = (cell.folder.with_name(cell.folder.name + end) for end in numbers)
            aside = next(place for place in places if not place.exists())
            cell.folder.rename(aside)
            cause = str(error).removesuffix(f"; {REMEDY}")
            said.append(f"{cell.name} is run again: {cause}; its former folder is now {aside}")
    return said


def read_scores(cells: Iterable[Cell]) -> dict[str, dict[int, float]]:
    """mAP50-95 in 0..1 of the finished cells, by arm and by the seed of the training."""
    # The seed of the training, since that of the comparison is the baseline's in A/A arms.
    scores: dict[str, dict[int, float]] = {}
    for result in read_cells(cells):
        scores.setdefault(result.arm, {})[result.train_seed] = result.score
    return scores


def read_failures(cells: Iterable[Cell]) -> dict[str, str]:
    """Why each failed cell failed, by the cell's name."""
    return {
        cell.name: str(read_failure(cell.folder).get("reason", "unknown"))
        for cell in cells
        if state(cell) == "failed"
    }
