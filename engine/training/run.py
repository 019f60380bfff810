"""What a training run is at any moment, saved and put back: weights, averages, optimizer, position,
randomness.

build.py makes a Run and restores it from a Checkpoint; train.py saves it after each epoch and when
interrupted. A resumed run ends with the same weights, bit for bit, with the same number of threads,
kind of processor and torch version; others add in another order, and training amplifies the
difference.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from data.index import DatasetIndex
from data.loader import Loader
from engine.training import dist
from engine.training.diagnose import first_bad_tensor
from engine.training.ema import ModelEMA
from engine.training.optim import Schedule
from engine.training.sparsity import Sparsity
from models.yolo import DetectionModel
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.config import TrainConfig
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters

Data = tuple[DatasetIndex, DatasetIndex]  # training, validation


@dataclass
class Progress:
    """Where a run stands; saved with it, so that a resumed run goes on from the very batch."""

    epoch: int = 0
    batch: int = 0
    last_step: int = -1
    best_fitness: float = 0.0
    best_epoch: int = 0
    loss_sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    class_ap: list[float] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)


@dataclass
class Run:
    """Everything one training run works with."""

    config: TrainConfig
    hyp: Hyperparameters
    folder: Path
    world: dist.World
    device: torch.device
    data: Data
    model: DetectionModel
    network: (
        nn.Module
    )  # the model as it is called: bare, compiled, or wrapped for several processes
    ema: ModelEMA
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    schedule: Schedule
    loss: Any
    sparsity: Sparsity
    loaders: tuple[Loader, Loader | None]  # training; validation on the main process
    progress: Progress

    @property
    def last(self) -> Path:
        return self.folder / "weights" / "last.pt"

    @property
    def best(self) -> Path:
        return self.folder / "weights" / "best.pt"


def snapshot(run: Run) -> Checkpoint:
    """The whole state between two batches. Gradients belong to it: a step may be made of several
    batches.
    """
    grads = {
        key: value.grad for key, value in run.model.named_parameters() if value.grad is not None
    }
    training = {
        "model": run.model.state_dict(),
        "updates": run.ema.updates,
        "optimizer": run.optimizer.state_dict(),
        "scaler": run.scaler.state_dict(),
        "progress": dataclasses.asdict(run.progress),
        "gradients": grads if run.progress.batch else {},
        "random": checkpoints.random_state(run.device),
        "data_digests": [index.digest for index in run.data],
    }
    return dataclasses.replace(
        lean_snapshot(run), state=run.ema.module.state_dict(), training=training
    )


def lean_snapshot(run: Run) -> Checkpoint:
    """What inference needs: the averaged weights, the graph, the names."""
    progress = run.progress
    return Checkpoint(
        graph=run.model.graph,
        names=run.model.names,
        state=checkpoints.lean(run.ema.module.state_dict()),
        config=run.config.plain(),
        hyp=dataclasses.asdict(run.hyp),
        data=str(run.config.data),
        epoch=progress.epoch,
        scores=progress.scores,
    )


def save_last(run: Run) -> None:
    """Write last.pt, the former one kept beside it.

    A model with a non-finite weight is never saved.
    """
    if not run.world.is_main:
        return
    bad = first_bad_tensor(run.model)
    if bad:
        raise UserError(
            f"epoch {run.progress.epoch}: {bad} is not finite, so nothing was saved; {run.last} is"
            " the last good checkpoint: go on from it with a lower lr0"
        )
    checkpoints.save(snapshot(run), run.last, keep_previous=True)


def restore(run: Run, resumed: Checkpoint) -> None:
    """Put a snapshot back: the next batch is computed as if there had been no interruption."""
    state = resumed.training or {}
    if state["data_digests"] != [index.digest for index in run.data]:
        print(
            "the data set has changed since the run was interrupted: it goes on, but not as it"
            " would have"
        )
    run.model.load_state_dict(state["model"])
    run.ema.load(resumed.state, state["updates"])
    run.optimizer.load_state_dict(state["optimizer"])
    if state["scaler"]:  # empty if the run was interrupted where nothing is scaled
        run.scaler.load_state_dict(state["scaler"])
    run.progress = Progress(**state["progress"])
    for key, parameter in run.model.named_parameters():
        if key in state["gradients"]:
            parameter.grad = state["gradients"][key].to(parameter.device)
    checkpoints.set_random_state(state["random"], run.device)
