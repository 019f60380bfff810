"""best.pt of a run, and what takes its place if it is lost or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from engine.training.run import Run, lean_snapshot
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint
from utils.errors import UserError


class Chosen(NamedTuple):
    """The checkpoint that a run is scored by: its file, its content, and the epoch it is from."""

    path: Path
    checkpoint: Checkpoint
    epoch: int


def choose_best(run: Run) -> Chosen:
    """best.pt, or the last state if there is no usable best.pt; a note says so."""
    setup, progress = run.setup, run.state.progress
    last = Chosen(setup.last, lean_snapshot(run), progress.epoch - 1)
    if not _has_best(run):
        return last
    try:
        best = read_best(run)
    except UserError as error:
        progress.add_note(
            f"{error}; so the scores are those of the last epoch, {last.epoch}, which {setup.last}"
            " holds"
        )
        return last
    return Chosen(setup.best, best, best.epoch)


def read_best(run: Run) -> Checkpoint:
    """Read best.pt. Raises UserError if it is missing, damaged, or of another graph."""
    best = checkpoints.read(run.setup.best)
    own = {key: value.shape for key, value in run.state.model.state_dict().items()}
    if {key: value.shape for key, value in best.state.items()} != own:
        raise UserError(f"{run.setup.best}: belongs to another graph than this run")
    return best


def check_best(run: Run) -> None:
    """At a resume, look whether best.pt is usable; if not, the next validation writes a new one."""
    progress = run.state.progress
    if not _has_best(run) or progress.epoch >= run.setup.config.epochs:  # choose_best() says it
        return
    try:
        read_best(run)
    except UserError as error:
        progress.best_fitness = 0.0
        progress.add_note(
            f"{error}; so best.pt will be the best of the epochs from {progress.epoch} on"
        )


def _has_best(run: Run) -> bool:
    """Whether the run should have a best.pt: it was validated, on images that have labels."""
    return run.state.progress.scores.get("fitness", -1.0) >= 0  # NaN without labels
