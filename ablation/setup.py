"""From flags to a study that can start.

The settings are completed as train.py would choose them, every arm's graph is built once, and the
cells get their flags and slots. A user's mistake is refused here, before anything is trained.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ablation.config import StudyConfig
from ablation.study import Arm, Cell
from data.dataset_yaml import read_dataset_yaml
from engine.training.model import read_source
from models.yolo import DetectionModel
from utils.cli import names_of
from utils.config import Hyperparameters, TrainConfig, choose_config
from utils.device import GPUS, find_devices
from utils.errors import UserError
from utils.families import family_of
from utils.files import expand_user
from utils.machine import usable_cores
from utils.train_line import TRAIN_LINE

# Flags that ablate.py and train.py have in common, with the same meaning.
SHARED = ("data", "cfg", "weights", "scale", "epochs", "imgsz", "batch_size")
# Flags of train.py that ablate.py sets for each cell.
OWN = (
    *SHARED,
    "attention",
    "attention_init",
    "modules",
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
    """A share of the machine in which one cell at a time runs.

    Attributes:
        device: value of train.py's --device.
        workers: value of train.py's --workers.
        environment: variables to add to those of the process.
    """

    device: str
    workers: int
    environment: dict[str, str] = field(default_factory=dict)


def shared_flags(config: StudyConfig) -> dict[str, object]:
    """The flags in SHARED that have a value, as {field: value}; the others are left to train.py."""
    return {name: getattr(config, name) for name in SHARED if getattr(config, name)}


def choose(config: StudyConfig) -> tuple[TrainConfig, Hyperparameters]:
    """The settings with which train.py would train. Raises UserError for wrong flags."""
    given = {**shared_flags(config), **read_train_flags(config.train)}
    info = read_dataset_yaml(config.data)
    graph, _ = read_source(config.cfg, config.weights, config.scale)
    return choose_config(given, info.suggested, family_of(graph), f"{info.path}: defaults")


def fill_in(config: StudyConfig) -> StudyConfig:
    """Complete the configuration by the values that are left to train.py.

    Raises UserError for wrong flags.
    """
    chosen, _ = choose(config)
    # An automatic batch size depends on an arm's memory, and would differ between the arms.
    if chosen.batch_size < 1:
        raise UserError(
            f"--batch-size {chosen.batch_size}: must be the same for all arms; give a number"
        )
    return dataclasses.replace(
        config, epochs=chosen.epochs, imgsz=chosen.imgsz, batch_size=chosen.batch_size
    )


def read_train_flags(text: str) -> dict[str, object]:
    """Read --train with train.py's own flags into {field: value}.

    Raises UserError for flags that train.py would refuse, and for those that ablate.py sets itself.
    """
    try:
        given = TRAIN_LINE.read(shlex.split(text))
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
            f"--train: {own[0]} differs from run to run or is a flag of ablate.py too; remove it"
            " here"
        )
    return given


def arm_graph(config: StudyConfig, arm: Arm) -> dict[str, Any]:
    """The arm's graph for DetectionModel, with the data set's number of classes."""
    graph, _ = read_source(config.cfg, config.weights, config.scale)
    if arm.attention:
        from models.graph.sites import insert

        graph = insert(graph, arm.attention, arm.init)
    return {**graph, "nc": len(read_dataset_yaml(config.data).names)}


def check_arms(config: StudyConfig, arms: Sequence[Arm]) -> None:
    """Build every graph on the meta device, which needs neither memory nor time.

    Raises UserError for an unknown module or place, and for two arms with the same graph.
    """
    seen: dict[str, Arm] = {}
    for arm in arms:
        if not arm.is_aa:
            graph = arm_graph(config, arm)
            with torch.device("meta"):
                DetectionModel(graph)
            other = seen.setdefault(repr(graph), arm)
            if other is not arm:
                raise UserError(
                    f"--attention: {other.name} and {arm.name} are the same graph; remove one of"
                    " them"
                )


def cell_flags(config: StudyConfig, cell: Cell, slot: Slot) -> list[str]:
    """The flags with which train.py trains a cell from its beginning.

    Args:
        config: the flags of the study.
        cell: the cell.
        slot: where the cell runs.
    """
    values = {
        **shared_flags(config),
        "seed": cell.train_seed,
        "device": slot.device,
        "workers": slot.workers,
        "project": cell.folder.parent,
        "name": cell.folder.name,
    }
    flags = [
        word
        for name, value in values.items()
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    # The folder exists already, since the engine's log is in it.
    flags += ["--exist-ok", "--noplots"]
    # One word for each file, which cell.py can find again for --resume.
    flags += [f"--modules={expand_user(file, '--modules ').absolute()}" for file in config.modules]
    if cell.arm.attention:
        flags += ["--attention-init", cell.arm.init, "--attention", *cell.arm.attention]
    return flags + shlex.split(config.train)


def make_slots(config: StudyConfig) -> list[Slot]:
    """One slot for each GPU, or one for every --cores-per-cell; --slots overrides either.

    More slots than GPUs share the GPUs. Raises UserError for a device that does not exist.
    """
    devices, cores = find_devices(config.device), usable_cores()
    kind = devices[0].type
    if kind not in GPUS:
        count = config.slots or (1 if kind == "mps" else max(cores // config.cores_per_cell, 1))
        workers = min(config.workers, max(config.cores_per_cell // 4, 1))
        return [Slot(kind, workers, {"OMP_NUM_THREADS": str(config.cores_per_cell)})] * count
    count = config.slots or len(devices)
    share = max(cores // count, 1)
    workers = min(config.workers, share)
    return [
        gpu_slot(devices[number % len(devices)], workers, {"OMP_NUM_THREADS": str(share)})
        for number in range(count)
    ]


def gpu_slot(device: torch.device, workers: int, environment: dict[str, str]) -> Slot:
    """The slot of a GPU.

    Args:
        device: the GPU, by its number in this process.
        workers: the most loader processes of a run.
        environment: variables to add to those of the process.
    """
    if device.type != "cuda":
        return Slot(str(device), workers, environment)
    # The process sees this GPU only, so its number there is 0.
    return Slot("0", workers, {"CUDA_VISIBLE_DEVICES": visible_name(device), **environment})


def visible_name(device: torch.device) -> str:
    """A CUDA device of this process as CUDA_VISIBLE_DEVICES names it."""
    # The variable may already name a part of the GPUs. --device then counts those only.
    names = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    is_named = len(names) == torch.cuda.device_count() and all(names)
    return names[device.index] if is_named else str(device.index)
