"""A training run: its fixed setup, the state that training changes, and how that state is saved.

build.py makes a Run, or restores one from a Checkpoint; train.py saves it after each epoch and when
it is interrupted. A resumed run ends with the same weights bit for bit if its circumstances are the
same (circumstances.py), and says so if they are not.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from data.index import DatasetIndex
from data.loader import Loader
from data.scanning.cache import FILES_CHANGED
from engine.training import dist
from engine.training.circumstances import (
    circumstances,
    resumed_under,
    saved_circumstances,
)
from engine.training.diagnose import NotFiniteError, first_bad_tensor
from engine.training.ema import ModelEMA
from engine.training.lock import FolderLock
from engine.training.optim import Schedule, restore_optimizer
from engine.training.saved_state import check_saved
from engine.training.sparsity import Sparsity
from models.losses import Loss
from models.own.adapter import used_files
from models.yolo import DetectionModel
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint, TrainingContent
from utils.config import TrainConfig
from utils.errors import UserError
from utils.hyperparameters import Hyperparameters

Splits = tuple[DatasetIndex, DatasetIndex]  # training, validation


@dataclass(frozen=True)
class Setup:
    """The fixed part of a run, complete before the first batch.

    Attributes:
        config, hyp: The flags and hyperparameters in force.
        folder: Where the run writes.
        world: This process among its peers.
        device: Where the model is.
        data: The training and the validation split.
        loaders: Batches of both splits, a share of them where several processes train.
        loss: The loss, computed from the head's raw maps.
        schedule: The rates of each iteration.
        lock: Keeps other programs out of the folder; None in processes that write nothing.
    """

    config: TrainConfig
    hyp: Hyperparameters
    folder: Path
    world: dist.World
    device: torch.device
    data: Splits
    loaders: tuple[Loader, Loader]
    loss: Loss
    schedule: Schedule
    lock: FolderLock | None = None

    @property
    def circumstances(self) -> dict[str, str]:
        """What the bits of the run depend on besides its settings."""
        return circumstances(self.device, self.world.size, self.config.precision)

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.folder / "weights" / "last.pt"

    @property
    def best(self) -> Path:
        """The checkpoint of the epoch with the best fitness."""
        return self.folder / "weights" / "best.pt"


@dataclass
class Progress:
    """The position of a run, saved with it, so that a resumed run continues at the same batch.

    Attributes:
        epoch, batch: Numbers of the next epoch and batch, counted from 0.
        last_step: Iteration of the last optimizer step.
        best_fitness, best_epoch: The best fitness of the validations so far, and its epoch.
        loss_sums: Sums of the loss's terms over this epoch's batches.
        class_ap: AP of each class in the last validation.
        scores: The last validation's scores by name.
        skips, skips_in_a_row: Steps that the scaler skipped, and those since its last step.
        notes: Sentences on what a reader of the results must know; add_note() adds them.
    """

    epoch: int = 0
    batch: int = 0
    last_step: int = -1
    best_fitness: float = 0.0
    best_epoch: int = 0
    loss_sums: list[float] = field(default_factory=list)
    class_ap: list[float] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    skips: int = 0
    skips_in_a_row: int = 0
    notes: list[str] = field(default_factory=list)

    def add_note(self, sentence: str) -> None:
        """Print a sentence, and keep it for the final lines and metrics.json; once each."""
        if sentence not in self.notes:
            self.notes.append(sentence)
            print(f"note: {sentence}")


@dataclass(frozen=True)
class TrainingState:
    """The objects that training changes in place, which snapshot() saves and restore() loads.

    Attributes:
        model: The bare model.
        network: The model as the loop calls it: bare, compiled, or wrapped for several processes.
        ema: The average of its weights.
        optimizer, scaler: The optimizer, and the scaler of half-precision gradients.
        sparsity: The penalty on the model's scale factors.
        progress: The position of the run.
    """

    model: DetectionModel
    network: nn.Module
    ema: ModelEMA
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    sparsity: Sparsity
    progress: Progress


@dataclass(frozen=True)
class Run:
    """One training run."""

    setup: Setup
    state: TrainingState


def snapshot(run: Run) -> Checkpoint:
    """The whole state of a run between two batches."""
    state, progress = run.state, run.state.progress
    # A step may accumulate the gradients of several batches, so within an epoch they are part of
    # the state. The first batch of an epoch starts without gradients.
    gradients = {
        key: value.grad for key, value in state.model.named_parameters() if value.grad is not None
    }
    training: TrainingContent = {
        "model": state.model.state_dict(),
        "updates": state.ema.updates,
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "progress": dataclasses.asdict(progress),
        "gradients": gradients if progress.batch else {},
        "random": random_state(run.setup.device),
        "data_digests": [index.digest for index in run.setup.data],
        "circumstances": run.setup.circumstances,
    }
    return dataclasses.replace(
        lean_snapshot(run), state=state.ema.module.state_dict(), training=training
    )


def lean_snapshot(run: Run) -> Checkpoint:
    """The part that inference needs: averaged weights, graph, class names and settings."""
    setup, state = run.setup, run.state
    return Checkpoint(
        graph=state.model.graph,
        names=state.model.names,
        state=checkpoints.lean(state.ema.module.state_dict()),
        config=setup.config.plain(),
        hyp=dataclasses.asdict(setup.hyp),
        data=str(setup.config.data),
        epoch=state.progress.epoch,
        scores=state.progress.scores,
        modules=used_files(state.model),
    )


def save_last(run: Run) -> None:
    """Write last.pt, and keep the previous one beside it.

    Raises NotFiniteError if a weight is not finite; such a model is never saved.
    """
    if not run.setup.world.is_main:
        return
    bad = first_bad_tensor(run.state.model)
    if bad:
        last, epoch = run.setup.last, run.state.progress.epoch
        # The checkpoint that is written before the first epoch has learnt nothing.
        kept = (
            f"{last} is the last good checkpoint: start from it with --weights and a lower lr0"
            if epoch > 1 and last.exists()
            else "start again with a lower lr0"
        )
        raise NotFiniteError(f"epoch {epoch}: {bad} is not finite, so nothing was saved; {kept}")
    checkpoints.save(snapshot(run), run.setup.last, keep_previous=True)


def save_start(run: Run) -> None:
    """Write last.pt before the first batch, so that a run killed in its first epoch can go on.

    With --exist-ok the folder may hold a former run, of which nothing may be taken for this one.
    """
    setup, progress = run.setup, run.state.progress
    if not setup.world.is_main or progress.epoch or progress.batch:
        return
    (setup.folder / "metrics.json").unlink(missing_ok=True)
    checkpoints.previous_of(setup.last).unlink(missing_ok=True)
    if not setup.config.nosave:
        checkpoints.save(snapshot(run), setup.last)


def restore(setup: Setup, state: TrainingState, resumed: Checkpoint) -> TrainingState:
    """Restore a snapshot, so that the next batch is computed as without an interruption.

    Args:
        setup: The setup of the resumed run.
        state: The new objects, which get the saved values in place.
        resumed: The checkpoint of the interrupted run.

    Returns:
        The same objects, with the saved progress.

    Raises:
        UserError: The checkpoint does not hold what this run needs.
    """
    saved = resumed.training
    assert saved is not None, "resume.read_for_resume() refuses a finished run"
    lengths = {"loss_sums": len(setup.loss.names), "class_ap": state.model.spec.class_count}
    check_saved(resumed, state.model, state.optimizer, state.scaler, Progress, lengths)
    state.model.load_state_dict(saved["model"])
    state.ema.load(resumed.state, saved["updates"])
    restore_optimizer(state.optimizer, saved["optimizer"])
    if saved["scaler"]:  # it is empty if the interrupted run did not scale gradients
        state.scaler.load_state_dict(saved["scaler"])
    for key, parameter in state.model.named_parameters():
        if key in saved["gradients"]:
            parameter.grad = saved["gradients"][key].to(parameter.device)
    set_random_state(saved["random"], setup.device)
    progress = Progress(**saved["progress"])
    if saved["data_digests"] != [index.digest for index in setup.data]:
        progress.add_note(
            "the data set has changed since the run was interrupted: the run continues, but its"
            " results will differ"
        )
    elif any(index.report.origin.endswith(FILES_CHANGED) for index in setup.data):
        progress.add_note(
            "files of the data set have been written again since the run began: their names, sizes"
            " and labels are the same, but other images give other results"
        )
    changes = resumed_under(setup.circumstances, saved_circumstances(resumed))
    if changes:
        progress.add_note(changes)
    return dataclasses.replace(state, progress=progress)


def random_state(device: torch.device) -> dict[str, torch.Tensor]:
    """The states of torch's generators; everything else draws from keyed streams."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, torch.Tensor], device: torch.device) -> None:
    """Restore the states that random_state() returned. Raises UserError for an invalid one."""
    try:
        torch.set_rng_state(state["cpu"])
        if device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], device)
    except (RuntimeError, TypeError):
        raise UserError(
            "--resume: the random state in the checkpoint is not one of torch; start a new run"
        ) from None
