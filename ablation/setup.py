"""From flags to a study that can start: settings as train.py would choose them, every arm built
once, cells' flags.

Whatever a user has to mend is refused here, before anything trains.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ablation.study import Arm, Cell, StudyConfig
from data.dataset_yaml import read_dataset_yaml
from engine.training.model import read_source
from models.yolo import DetectionModel
from utils.cli import names_of, read_flags
from utils.config import REFUSED_TRAIN_FLAGS, Hyperparameters, TrainConfig, choose_config
from utils.errors import UserError
from utils.families import family_of

SHARED = (
    "data",
    "cfg",
    "weights",
    "scale",
    "epochs",
    "imgsz",
    "batch_size",
)  # flags of the same name and meaning
OWN = (
    *SHARED,
    "attention",
    "attention_init",
    "seed",
    "device",
    "workers",
    "project",
    "name",
    "exist_ok",
    "resume",
    "noplots",
)


@dataclass(frozen=True)
class Slot:
    """Where one cell runs at a time. device: for train.py. environment: over the present one."""

    device: str
    workers: int
    environment: dict[str, str] = field(default_factory=dict)


def choose(config: StudyConfig) -> tuple[TrainConfig, Hyperparameters]:
    """What train.py would train with. Raises UserError for flags that are wrong."""
    given = {
        name: getattr(config, name) for name in SHARED if getattr(config, name)
    } | read_train_flags(config.train)
    info = read_dataset_yaml(config.data)
    graph, _ = read_source(config.cfg, config.weights, config.scale)
    return choose_config(given, info.suggested, family_of(graph), f"{info.path}: defaults")


def settle(config: StudyConfig) -> StudyConfig:
    """The configuration with the figures that were left to train.py.

    Raises UserError for flags that are wrong.
    """
    chosen, _ = choose(config)
    if chosen.batch_size < 1:
        raise UserError(
            f"--batch-size {chosen.batch_size}: must be the same for all arms; give a number"
        )
    return dataclasses.replace(
        config, epochs=chosen.epochs, imgsz=chosen.imgsz, batch_size=chosen.batch_size
    )


def read_train_flags(text: str) -> dict[str, Any]:
    """--train as {field: value}, read by train.py's own table.

    Raises UserError for what train.py would refuse.
    """
    try:
        given = read_flags(TrainConfig, shlex.split(text), "", REFUSED_TRAIN_FLAGS)
    except ValueError as error:
        raise UserError(f"--train {text}: {error}; check the quotes") from None
    except UserError as error:
        raise UserError(
            f"--train: {str(error).split('; see ')[0]}; see python train.py --help"
        ) from None
    own = [
        names_of(item)[0]
        for item in dataclasses.fields(TrainConfig)
        if item.name in given and item.name in OWN
    ]
    if own:
        raise UserError(
            f"--train: {own[0]} differs from cell to cell or is a flag of ablate.py too; leave it"
            " out here"
        )
    return given


def graph_of(config: StudyConfig, arm: Arm) -> dict[str, Any]:
    """The arm's graph as a dictionary for DetectionModel, with the data set's number of classes."""
    graph, _ = read_source(config.cfg, config.weights, config.scale)
    if arm.attention:
        from models.graph.sites import insert

        graph = insert(graph, arm.attention, arm.init)
    return {**graph, "nc": len(read_dataset_yaml(config.data).names)}


def check_arms(config: StudyConfig, arms: Sequence[Arm]) -> None:
    """Build every graph without memory or arithmetic.

    Raises UserError for a module or place that is not there, and for two arms that are one graph.
    """
    seen: dict[str, Arm] = {}
    for arm in arms:
        if not arm.is_aa:
            graph = graph_of(config, arm)
            with torch.device("meta"):
                DetectionModel(graph)
            other = seen.setdefault(repr(graph), arm)
            if other is not arm:
                raise UserError(
                    f"--attention: {other.name} and {arm.name} are the same graph; leave one of"
                    " them out"
                )


def cell_flags(config: StudyConfig, cell: Cell, slot: Slot) -> list[str]:
    """What train.py is given to train a cell from its start."""
    values = {name: getattr(config, name) for name in SHARED if getattr(config, name)}
    values |= {"seed": cell.train_seed, "device": slot.device, "workers": slot.workers,
               "project": cell.folder.parent, "name": cell.folder.name}  # fmt: skip
    flags = [
        word
        for name, value in values.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    flags += ["--exist-ok", "--noplots"]
    if cell.arm.attention:
        flags += ["--attention-init", cell.arm.init, "--attention", *cell.arm.attention]
    return flags + shlex.split(config.train)


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_slots(config: StudyConfig) -> list[Slot]:
    """One slot for each GPU, or for every --cores-per-cell on the processor; --slots says
    otherwise.

    More slots than GPUs share them in turn. Raises UserError for a device that is not there.
    """
    device, cores = config.device.strip().lower().replace("cuda:", ""), count_cores()
    if device in ("cpu", "mps") or (device in ("", "cuda") and not torch.cuda.is_available()):
        device = device if device in ("cpu", "mps") else "cpu"
        count = config.slots or (1 if device == "mps" else max(cores // config.cores_per_cell, 1))
        workers = min(config.workers, max(config.cores_per_cell // 4, 1))
        return [Slot(device, workers, {"OMP_NUM_THREADS": str(config.cores_per_cell)})] * count
    gpus = choose_gpus(device)
    count = config.slots or len(gpus)
    share = max(cores // count, 1)
    return [
        Slot("0", min(config.workers, share),
             {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)], "OMP_NUM_THREADS": str(share)})
        for number in range(count)
    ]  # fmt: skip


def choose_gpus(device: str) -> list[str]:
    """The names of the GPUs in --device as CUDA_VISIBLE_DEVICES takes them; all that are visible
    for ''.
    """
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    names = (
        visible
        if len(visible) == count and all(visible)
        else [str(number) for number in range(count)]
    )
    wanted = (
        device.split(",")
        if device not in ("", "cuda")
        else [str(number) for number in range(count)]
    )
    for number in wanted:
        if not number.strip().isdecimal() or int(number) >= count:
            raise UserError(
                f"--device {device}: {count} CUDA devices are visible; name some of those, or cpu"
            )
    return [names[int(number)] for number in wanted]
