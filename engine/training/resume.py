"""The run that --resume continues: its folder, its lock, and its newest undamaged checkpoint."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

from engine.training.lock import FolderLock
from models.weights.load import require_modules
from utils import checkpoint as checkpoints
from utils.checkpoint import Checkpoint, previous_of
from utils.cli import build
from utils.config import TrainConfig
from utils.errors import UserError
from utils.files import find_file
from utils.hyperparameters import Hyperparameters
from utils.writing import sweep

RUNS = Path("runs")
LAST = Path("weights", "last.pt")


class Interrupted(NamedTuple):
    """An interrupted run.

    Attributes:
        config, hyp: Its flags and hyperparameters.
        checkpoint: Its last whole state.
        folder: Its folder.
        lock: Keeps other programs out of it; None in processes that write nothing.
        notes: Sentences on what the user must know, such as a damaged checkpoint.
    """

    config: TrainConfig
    hyp: Hyperparameters
    checkpoint: Checkpoint
    folder: Path
    lock: FolderLock | None
    notes: tuple[str, ...]


def read_interrupted(resume: str) -> Interrupted:
    """Read an interrupted run.

    Args:
        resume: The path of its last.pt or of its folder; "newest" for the newest run in RUNS.

    Raises:
        UserError: There is no such run, it is finished or still running, or its files are damaged.
    """
    path = newest_last(RUNS) if resume == "newest" else _find_last(resume)
    folder = path.parent.parent
    # The other processes of torchrun write nothing.
    lock = FolderLock(folder) if os.environ.get("RANK", "0") == "0" else None
    if lock is not None:
        sweep(folder, depth=1)
    checkpoint, notes = read_for_resume(path)
    require_modules(checkpoint, path)
    # Checkpoints store lists where the configuration has tuples.
    values = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in checkpoint.config.items()
    }
    config = build(TrainConfig, values, str(path))
    hyp = Hyperparameters.from_mapping(checkpoint.hyp, str(path))
    return Interrupted(config, hyp, checkpoint, folder, lock, notes)


def _find_last(name: str) -> Path:
    """The last.pt of a path to it or to its run; it may be missing if the one before it is there.

    Raises UserError if there is neither.
    """
    path = Path(name)
    path = path / LAST if path.is_dir() else path
    return path if previous_of(path).exists() and not path.exists() else find_file(path)


def newest_last(root: Path) -> Path:
    """The last.pt of the run below a folder that was started or resumed last.

    Runs of a study are left out, since ablate.py continues them itself. Raises UserError if there
    is no run, or if the newest one has no last.pt or is finished: a user who means an older one has
    to name it.
    """
    found = sorted((start_time(folder), folder) for folder in _run_folders(root))
    if not found:
        raise UserError(
            f"--resume: no run below {root}; give the path of its last.pt if --project was another"
            " folder, or start a new run"
        )
    newest = found[-1][1]
    last = newest / LAST
    exists = last.exists() or previous_of(last).exists()
    if exists and not _is_finished(newest):
        return last
    others = [folder for _, folder in reversed(found[:-1]) if _is_open(folder)]
    older = f"; an older one that is not finished: --resume {others[0] / LAST}" if others else ""
    why = "is finished" if exists else "has no weights/last.pt: it ended before its first batch"
    raise UserError(
        f"--resume: the newest run below {root}, {newest}, {why}; start a new run{older}"
    )


def _run_folders(root: Path) -> list[Path]:
    folders = [file.parent for file in root.rglob("weights") if file.is_dir()]
    return [folder for folder in folders if not (folder.parents[1] / "study.yaml").is_file()]


def _is_open(folder: Path) -> bool:
    return (folder / LAST).exists() and not _is_finished(folder)


def _is_finished(folder: Path) -> bool:
    # A finished run removes the former checkpoint last of all. If that was not reached, the resumed
    # run only has to do so.
    return (folder / "metrics.json").exists() and not previous_of(folder / LAST).exists()


def start_time(folder: Path) -> float:
    """When a run was started or resumed last, seconds since 1970."""
    # opt.yaml is written at each start. A run that was killed before that has its folder only.
    options = folder / "opt.yaml"
    try:
        return (options if options.is_file() else folder / "weights").stat().st_mtime
    except OSError:  # removed at this moment
        return 0.0


def read_for_resume(path: Path) -> tuple[Checkpoint, tuple[str, ...]]:
    """Read last.pt, or the former file that save() kept if it is damaged.

    Returns the checkpoint, and a sentence if it is the former one. Raises UserError if both are
    damaged, or if the run is finished; then the former file is removed.
    """
    notes: tuple[str, ...] = ()
    try:
        checkpoint = checkpoints.read(path)
    except UserError as error:
        former = previous_of(path)
        if not former.exists():
            raise
        try:
            checkpoint = checkpoints.read(former)
        except UserError as other:
            raise UserError(f"{error}; and {other}") from None
        notes = (f"{error}; resumed from {former}, which is the state before",)
    if checkpoint.training is None:
        if path.name != LAST.name:
            raise UserError(
                f"--resume {path}: holds weights without the state of a run; give the"
                f" {LAST.name} beside it, or start a new run from it with --weights {path}"
            )
        if not notes:  # last.pt itself is whole
            _remove_former(path)
        raise UserError(
            f"--resume {path}: the run is finished; start a new one from it with --weights {path}"
        )
    return checkpoint, notes


def _remove_former(path: Path) -> None:
    """Remove the former file of a finished run, which was killed before it could do that itself."""
    with contextlib.suppress(OSError):  # such as a read-only disk; the file is only in the way
        previous_of(path).unlink(missing_ok=True)
