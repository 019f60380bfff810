"""A cell as a job: how its process is started on any machine, and how a failure is recorded.

ablation/engines.py and ablation/cluster.py run jobs. A job's process is ablation/cell.py, which
becomes train.py.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ablation.config import StudyConfig
from ablation.results import count_attempts
from ablation.setup import Slot, cell_flags
from ablation.study import Cell
from utils.files import ROOT, atomic_write, make_folder
from utils.signals import signal_name

CELL, TRAIN = Path(__file__).with_name("cell.py"), ROOT / "train.py"
LOG = "train.log"
TAIL = 20_000  # bytes at the end of a log in which its last line is looked for


@dataclass(frozen=True)
class CellJob:
    """All that a process, here or on another machine, needs to run a cell.

    Attributes:
        folder: the cell's folder.
        flags: flags of train.py.
        environment: variables to add to those of the process.
        working_folder: the folder that relative paths in the flags refer to.
    """

    folder: Path
    flags: tuple[str, ...]
    environment: dict[str, str]
    working_folder: Path


def make_job(config: StudyConfig, cell: Cell, slot: Slot) -> CellJob:
    """The job of a cell.

    Args:
        config: the flags.
        cell: the cell.
        slot: where the cell runs.
    """
    flags = tuple(cell_flags(config, cell, slot))
    return CellJob(cell.folder, flags, slot.environment, Path.cwd())


def launch(job: CellJob) -> subprocess.Popen[bytes]:
    """Start a cell, whose output is appended to its train.log.

    The process has its own session, so that Ctrl-C in the terminal reaches only the engine, which
    then lets its cells save their state.
    """
    make_folder(job.folder)
    command = [sys.executable, str(CELL), str(job.folder), str(os.getpid()), str(TRAIN), *job.flags]
    with open(job.folder / LOG, "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=job.working_folder,
            env={**os.environ, **job.environment},
            start_new_session=True,
        )


def describe_end(folder: Path, status: int) -> str:
    """Why a cell ended without scores: its exit status and the last line of its log."""
    try:
        with open(folder / LOG, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        text = f"no {LOG}: {error.strerror}"
    # A progress bar writes \r, and its last state counts as a line.
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    how = f"exit status {status}" if status >= 0 else f"killed by {signal_name(-status)}"
    return f"{how}: {lines[-1] if lines else 'nothing was printed'}"


def note_failure(cell: Cell, status: int, reason: str) -> None:
    """Write failed.json, which also counts the failed attempts.

    Args:
        cell: the cell.
        status: exit status of its process.
        reason: why it failed, in one line.
    """
    path = make_folder(cell.folder) / "failed.json"
    content = {
        "reason": reason,
        "status": status,
        "attempts": count_attempts(cell.folder) + 1,
        "log": str(cell.folder / LOG),
    }
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
