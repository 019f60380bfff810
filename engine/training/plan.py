"""From the user's settings to a run that is ready to start.

Settings are the flags of train.py or the keywords of api/yolo.py. They take precedence over the
data set's suggestions, those over the defaults of the graph's family, and these over the general
defaults (utils/config.py). An interrupted run keeps its own settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from data.dataset_yaml import read_dataset_yaml
from engine.training.build import prepare_run
from engine.training.model import read_source
from engine.training.run import Run
from models.graph.own_files import use_modules
from models.weights.load import require_modules
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.cli import build
from utils.config import TrainConfig, choose_config
from utils.families import family_of
from utils.files import find_file
from utils.hyperparameters import Hyperparameters


def plan(given: Mapping[str, object], changes: Mapping[str, object] | None = None) -> Run:
    """Prepare a run, or restore an interrupted one if `resume` is among the settings.

    given maps fields of TrainConfig to values; changes are single hyperparameters that override
    those of the file.
    """
    files = use_modules(cast(tuple[str, ...], given.get("modules", ())))
    resume = given.get("resume")
    if resume:
        config, hyp, checkpoint, folder = read_interrupted(str(resume))
        # The checkpoint holds the former paths, but only what the user gives now is imported.
        config = dataclasses.replace(config, modules=files)
        ignored = sorted({*given, *(changes or {})} - {"resume", "modules"})
        if ignored:
            print(f"--resume goes on with the run's own settings; ignored: {', '.join(ignored)}")
        return prepare_run(config, hyp, checkpoint, folder)
    info = read_dataset_yaml(str(given.get("data", TrainConfig.data)))
    wanted = {**info.suggested, **given}
    graph, _ = read_source(*(str(wanted.get(name, "")) for name in ("cfg", "weights", "scale")))
    config, hyp = choose_config(given, info.suggested, family_of(graph), f"{info.path}: defaults")
    if changes:
        hyp = Hyperparameters.from_mapping({**dataclasses.asdict(hyp), **changes}, "train")
    return prepare_run(config, hyp)


def read_interrupted(resume: str) -> tuple[TrainConfig, Hyperparameters, Checkpoint, Path]:
    """Read the configuration, hyperparameters, checkpoint and folder of an interrupted run.

    resume is the path of its last.pt; "newest" finds the last.pt written last.
    """
    path = checkpoints.newest_last(Path("runs")) if resume == "newest" else find_file(resume)
    checkpoint = checkpoints.read_for_resume(path)
    require_modules(checkpoint, path)
    # Checkpoints store lists where the configuration has tuples.
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
