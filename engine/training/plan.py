"""From what the user gave to a run that can start: train.py gives its flags, api/yolo.py its
keywords.

What was given goes before the data set's suggestions, those before what suits the graph's family,
and that before the general defaults (utils/config.py); an interrupted run keeps its own.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from data.dataset_yaml import read_dataset_yaml
from engine.training.build import prepare, read_source
from engine.training.run import Run
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.cli import build
from utils.config import TrainConfig, choose_config
from utils.families import family_of
from utils.files import find_file
from utils.hyperparameters import Hyperparameters


def plan(given: dict[str, Any], changes: dict[str, Any] | None = None) -> Run:
    """Prepare the run of {field: value}, over the data set's suggestions over the defaults; or one
    to go on with.

    changes: single hyperparameters over those of the file.
    """
    if given.get("resume"):
        config, hyp, checkpoint, folder = read_interrupted(given["resume"])
        ignored = sorted({*given, *(changes or {})} - {"resume"})
        if ignored:
            print(f"--resume goes on with the run's own settings; ignored: {', '.join(ignored)}")
        return prepare(config, hyp, checkpoint, folder)
    info = read_dataset_yaml(given.get("data", TrainConfig.data))
    wanted = {**info.suggested, **given}
    graph, _ = read_source(*(str(wanted.get(name, "")) for name in ("cfg", "weights", "scale")))
    config, hyp = choose_config(given, info.suggested, family_of(graph), f"{info.path}: defaults")
    if changes:
        hyp = Hyperparameters.from_mapping({**dataclasses.asdict(hyp), **changes}, "train")
    return prepare(config, hyp)


def read_interrupted(resume: str) -> tuple[TrainConfig, Hyperparameters, Checkpoint, Path]:
    """(configuration, hyperparameters, checkpoint, folder) of the run to go on with; 'newest' finds
    it.
    """
    path = checkpoints.newest_last(Path("runs")) if resume == "newest" else find_file(resume)
    checkpoint = checkpoints.read_for_resume(path)
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in checkpoint.config.items()
    }
    config = build(TrainConfig, values)
    return (
        config,
        Hyperparameters.from_mapping(checkpoint.hyp, str(path)),
        checkpoint,
        path.parent.parent,
    )
