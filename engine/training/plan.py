"""From the user's settings to a run that is ready to start.

Settings are the flags of train.py or the keywords of api/yolo.py. They take precedence over the
data set's suggestions, those over the defaults of the graph's family, and these over the general
defaults (utils/config.py). An interrupted run keeps its own settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import cast

from data.dataset_yaml import read_dataset_yaml
from engine.training.best import check_best
from engine.training.build import prepare_run
from engine.training.model import read_source, with_attention
from engine.training.resume import Interrupted, read_interrupted
from engine.training.run import Run
from models.graph.own_files import use_modules
from models.graph.read import read_graph
from models.graph.structure import refuse_unread
from utils.config import TrainConfig, choose_config
from utils.families import family_of
from utils.hyperparameters import Hyperparameters


def plan(given: Mapping[str, object], changes: Mapping[str, object] | None = None) -> Run:
    """Prepare a run, or restore an interrupted one if `resume` is among the settings.

    given maps fields of TrainConfig to values; changes are single hyperparameters that override
    those of the file.
    """
    files = use_modules(cast(tuple[str, ...], given.get("modules", ())))
    resume = given.get("resume")
    if resume:
        interrupted = read_interrupted(str(resume))
        # A setting that is repeated as it was is not worth a word.
        others = {name for name, value in given.items() if not _is_own(interrupted, name, value)}
        ignored = sorted({*others, *(changes or {})} - {"resume", "modules"})
        if ignored:
            note = f"--resume goes on with the run's own settings; ignored: {', '.join(ignored)}"
            interrupted = interrupted._replace(notes=(*interrupted.notes, note))
        return continue_run(interrupted, files)
    info = read_dataset_yaml(str(given.get("data", TrainConfig.data)))
    wanted = {**info.suggested, **given}
    graph, _ = read_source(*(str(wanted.get(name, "")) for name in ("cfg", "weights", "scale")))
    config, hyp = choose_config(given, info.suggested, family_of(graph), f"{info.path}: defaults")
    if changes:
        hyp = Hyperparameters.from_mapping({**dataclasses.asdict(hyp), **changes}, "train")
    graph = with_attention(graph, config)  # a mistyped place is said before a data set is drawn
    if config.cfg:  # a graph that comes with trained weights is taken as it is
        refuse_unread(read_graph(graph))
    return prepare_run(config, hyp)


def _is_own(interrupted: Interrupted, name: str, value: object) -> bool:
    own = getattr(interrupted.config, name, None)
    return own == (tuple(value) if isinstance(value, list) else value)


def continue_run(interrupted: Interrupted, modules: tuple[str, ...]) -> Run:
    """Restore an interrupted run, and say which one and what about it has changed."""
    config, hyp, checkpoint, folder, lock, notes = interrupted
    position = checkpoint.training["progress"] if checkpoint.training else {}
    if lock is not None:  # the main process
        epoch, batch = position.get("epoch"), position.get("batch")
        print(f"resuming {folder} at epoch {epoch}, batch {batch}, with its own settings")
    # The checkpoint holds the former paths, but only what the user gives now is imported.
    run = prepare_run(dataclasses.replace(config, modules=modules), hyp, checkpoint, folder, lock)
    progress = run.state.progress
    for note in notes:
        progress.add_note(note)
    if run.setup.world.is_main:
        check_best(run)
    return run
