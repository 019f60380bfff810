"""What a study is: its flags, its arms, its cells, and what finished cells hold. Everything is
derived from folders.

An arm is a graph (attention at places, and how it starts) or the plain graph under other seeds
(A/A). A cell is one training of an arm under one seed, in a folder of its own below STUDY/cells.
ablate.py reads flags into a StudyConfig, engines.py runs the cells, statistics/ compares their
scores, report/ shows a StudyResult.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation.files import DELETE, read_curve, read_json, read_metrics, read_timing
from utils.cli import flag
from utils.errors import UserError

if TYPE_CHECKING:
    from ablation.statistics.verdicts import ArmVerdict, Noise

PLAIN, AA = (
    "plain",
    "A/A",
)  # names of the baseline, and of the arms that show how much seeds alone change
AA_SEEDS = 1000  # an A/A arm's seeds are those of the plain one and so much more
INITS = {"paper": ("paper",), "identity": ("identity",), "both": ("paper", "identity")}
MOST_NAME = 150  # bytes of a folder's name, which file systems limit to 255
MOST_ATTEMPTS = 2  # a cell that failed is tried again when the study is started anew, once


@dataclass(frozen=True)
class StudyConfig:
    """All flags of ablate.py. Raises UserError for an impossible value, with the flag's name."""

    data: str = flag("data/shapes.yaml", "data set YAML; the default is generated on the spot")
    cfg: str = flag("", "the plain graph, such as models/yolov5n.yaml; '' takes that of --weights")
    weights: str = flag("", "checkpoint that every arm starts from; '' trains from scratch")
    scale: str = flag(
        "", "size of a graph that has several (n, s, m, l, x); '' takes it from the file's name"
    )
    attention: tuple[str, ...] = flag(
        (),
        "modules, with arguments if you like: SimAM GAM:rate=8; NAME@PLACE stands as "
        "it is, others are tried at each --at",
        kind=str,
        nargs="+",
    )
    at: tuple[str, ...] = flag(
        ["neck"], 'places, such as neck backbone.P5 "every C3"; a+b is both at once'
    )
    attention_init: str = flag(
        "paper", "how modules start; both makes two arms of each", choices=tuple(INITS)
    )
    seeds: int = flag(5, "cells of each arm")
    first_seed: int = flag(0, "the first of the seeds, which are consecutive")
    baseline_seeds: int = flag(
        0, "cells of the plain graph; 0 as many as serve all comparisons best"
    )
    aa: int = flag(
        1, "arms that are the plain graph under other seeds, to show the noise; 0 for none"
    )
    epochs: int = flag(0, "of each cell; 0 as train.py would choose")
    imgsz: int = flag(
        0,
        "side of the images, pixels; 0 as train.py would choose",
        aliases=("--img", "--img-size"),
    )
    batch_size: int = flag(0, "images a step; 0 as train.py would choose", aliases=("--batch",))
    train: str = flag(
        "", 'further flags of train.py for all cells, such as "--hyp my.yaml --cos-lr"'
    )
    device: str = flag(
        "", "GPUs to use, such as 0,1,2, or cpu, or mps; '' takes all GPUs, else the processor"
    )
    workers: int = flag(8, "loader processes of a cell at most; its share of the cores bounds it")
    engine: str = flag(
        "local",
        "who runs the cells: processes on this machine, or an existing Ray cluster",
        choices=("local", "ray"),
    )
    address: str = flag("auto", "of the Ray cluster, such as auto or ray://head:10001")
    slots: int = flag(0, "cells at a time; 0: one a GPU, or one for every --cores-per-cell")
    cores_per_cell: int = flag(2, "processor cores of a cell")
    delta: float = flag(0.5, "smallest difference of interest, in points of mAP50-95")
    futility: bool = flag(
        False, "look after each seed, and stop arms that cannot be shown to help any more"
    )
    project: str = flag("runs/ablate", "folder of studies")
    name: str = flag("study", "name of this study; the same command started again goes on with it")
    dry_run: bool = flag(
        False, "show the arms, their costs and the time the study would take; train nothing"
    )

    def __post_init__(self) -> None:
        for name, least in (("seeds", 1), ("first_seed", 0), ("baseline_seeds", 0), ("aa", 0), ("epochs", 0),
                            ("imgsz", 0), ("batch_size", 0), ("workers", 0), ("slots", 0),
                            ("cores_per_cell", 1)):  # fmt: skip
            if getattr(self, name) < least:
                raise UserError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least {least}"
                )
        if not 0 < self.delta < 100:
            raise UserError(f"--delta {self.delta}: must be above 0 and below 100 points of mAP")
        if max(self.seeds, self.baseline_seeds) > AA_SEEDS:
            raise UserError(
                f"--seeds {max(self.seeds, self.baseline_seeds)}: must be at most {AA_SEEDS}"
            )
        if not self.attention and not self.aa:
            raise UserError("--attention: nothing to compare; name modules, or give --aa 1")
        if not self.name.strip() or Path(self.name).name != self.name or self.name == "..":
            raise UserError(
                f"--name {self.name!r}: must be the name of a folder; the path before it is"
                " --project"
            )

    @property
    def folder(self) -> Path:
        """The study's own folder, absolute."""
        return Path(self.project).absolute() / self.name

    @property
    def margin(self) -> float:
        """--delta as a share, as scores are."""
        return self.delta / 100


@dataclass(frozen=True)
class Arm:
    """One thing to compare. attention: texts such as SimAM@neck, () leaves the graph plain. init:
    of these.
    """

    name: str
    attention: tuple[str, ...]
    init: str
    first_seed: int

    @property
    def is_aa(self) -> bool:
        return self.name.split()[0] == AA

    @property
    def folder_name(self) -> str:
        """The name without what some file system or shell does not take, a long one cut and told
        apart by a hash.
        """
        name = re.sub(r"[^\w.@=+,-]+", "-", self.name)
        if len(name.encode()) <= MOST_NAME:
            return name
        digest = hashlib.sha256(self.name.encode()).hexdigest()[:12]
        return f"{name.encode()[: MOST_NAME - 13].decode(errors='ignore')}-{digest}"


@dataclass(frozen=True)
class Cell:
    """One training. seed: the block it is compared in, which is the seed of that block's plain
    cell.
    """

    arm: Arm
    seed: int
    folder: Path
    train_seed: int  # what train.py is given: seed, but in A/A arms

    @property
    def name(self) -> str:
        return f"{self.arm.name} seed {self.train_seed}"


@dataclass(frozen=True)
class CellResult:
    """What a finished cell holds. metrics: metrics.json. curve: rows of results.csv. timing:
    timing.json, seconds.

    seed: the block it is compared in; train_seed: what it was trained with.
    """

    arm: str
    seed: int
    train_seed: int
    folder: Path
    metrics: Mapping[str, Any]
    curve: Sequence[Mapping[str, float]]
    timing: Mapping[str, float]

    @property
    def score(self) -> float:
        """mAP50-95 of the best checkpoint, 0..1."""
        return float(self.metrics.get("map") or 0.0)


@dataclass(frozen=True)
class Costs:
    """What an arm costs; None where it is not known.

    gflops: 2 x multiply-adds of the fused graph for one image. megabytes_moved: read and written
    by its operations, float32. latency_ms: median of one fused forward pass of one image.
    latency_ratio: median over rounds of that time by the plain graph's in the same round.
    train_seconds: mean of the cells, without validation. memory_mb: peak of training, the largest
    of the cells.
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
    """Everything a report shows. failed: name of a cell -> reason. costs, causes: by the arm's
    name.
    """

    config: StudyConfig
    arms: Sequence[Arm]
    cells: Sequence[CellResult]
    failed: Mapping[str, str] = field(default_factory=dict)
    verdicts: Sequence[ArmVerdict] = ()
    noise: Noise | None = None
    costs: Mapping[str, Any] = field(default_factory=dict)
    causes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def make_arms(config: StudyConfig) -> list[Arm]:
    """The plain graph, the A/A arms, and attention x place x init in the order they were named.

    Whether modules and places exist is seen when the graphs are built (ablation/setup.py).
    Raises UserError for two arms whose folders would have the same name.
    """
    arms = [Arm(PLAIN, (), "", config.first_seed)]
    for number in range(1, config.aa + 1):
        name = AA if number == 1 else f"{AA} {number}"
        arms.append(Arm(name, (), "", config.first_seed + number * AA_SEEDS))
    placed = (
        [text] if "@" in text else [f"{text}@{place}" for place in config.at]
        for text in config.attention
    )
    for text in dict.fromkeys(itertools.chain.from_iterable(placed)):
        if config.attention_init != "paper" and re.search(r"[:,]\s*init\s*=", text):
            raise UserError(
                f"--attention {text}: says init itself; leave it out there, or --attention-init "
                f"{config.attention_init}"
            )
        for init in INITS[config.attention_init]:
            name = f"{text} identity" if init == "identity" else text
            arms.append(Arm(name, (text,), init, config.first_seed))
    seen: dict[str, Arm] = {}
    for arm in arms:
        other = seen.setdefault(arm.folder_name.lower(), arm)
        if other is not arm:
            raise UserError(
                f"--attention: {other.name} and {arm.name} would share a folder; leave one of"
                " them out"
            )
    return arms


def make_cells(config: StudyConfig, arms: Sequence[Arm]) -> list[Cell]:
    """All cells, seed by seed, so that whatever is finished first can be compared first."""

    def cell(arm: Arm, number: int) -> Cell:
        seed = arm.first_seed + number
        folder = config.folder / "cells" / f"{arm.folder_name}_seed{seed}"
        return Cell(arm, config.first_seed + number, folder, seed)

    plain = max(config.baseline_seeds, config.seeds)
    return [
        cell(arm, number)
        for number in range(plain)
        for arm in arms
        if number < config.seeds or arm.name == PLAIN
    ]


def state(cell: Cell) -> str:
    """done, failed, partial or new, by the cell's folder alone.

    train.py writes metrics.json as its last act; an engine writes failed.json when train.py gave
    up.
    """
    if (cell.folder / "metrics.json").is_file():
        return "done"
    if (cell.folder / "failed.json").is_file():
        return "failed"
    return "partial" if (cell.folder / "weights" / "last.pt").is_file() else "new"


def is_due(cell: Cell) -> bool:
    """Whether there is something to run: what is done, or failed for the second time, is left
    alone.
    """
    now = state(cell)
    if now == "failed":
        attempts = read_json(cell.folder / "failed.json").get("attempts", 1)
        if not isinstance(attempts, int):
            raise UserError(
                f"{cell.folder / 'failed.json'}: attempts: {attempts!r}: must be a number; {DELETE}"
            )
        return attempts < MOST_ATTEMPTS
    return now != "done"


def read_cells(cells: Iterable[Cell]) -> list[CellResult]:
    """Finished cells with what they hold. Raises UserError for a file that is damaged."""
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
    """Arm -> seed that it was trained with -> mAP50-95 in 0..1, of finished cells."""
    scores: dict[str, dict[int, float]] = {}
    for result in read_cells(cells):
        scores.setdefault(result.arm, {})[result.train_seed] = result.score
    return scores


def read_failures(cells: Iterable[Cell]) -> dict[str, str]:
    """Name of each failed cell -> why it failed."""
    failed = (cell for cell in cells if state(cell) == "failed")
    return {
        cell.name: str(read_json(cell.folder / "failed.json").get("reason", "unknown"))
        for cell in failed
    }
