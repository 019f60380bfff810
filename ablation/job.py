"""One cell as a job: what starts it as a process, on this machine or another, and what is kept of
how it ended.

ablation/engines.py and ablation/cluster.py run jobs; the process is ablation/cell.py, which becomes
train.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ablation.files import read_json
from ablation.setup import Slot, cell_flags
from ablation.study import Cell, StudyConfig
from utils.files import ROOT, atomic_write, make_folder

CELL, TRAIN = Path(__file__).with_name("cell.py"), ROOT / "train.py"
LOG = "train.log"
TAIL = 20_000  # bytes at the end of a log in which its last line is sought


@dataclass(frozen=True)
class Job:
    """A cell's folder and train.py's flags: all that a process or another machine needs to run it."""

    folder: Path
    flags: tuple[str, ...]
    environment: dict[str, str]
    working_folder: Path  # which relative paths in flags refer to


def make_job(config: StudyConfig, cell: Cell, slot: Slot) -> Job:
    return Job(cell.folder, tuple(cell_flags(config, cell, slot)), slot.environment, Path.cwd())


def launch(job: Job) -> subprocess.Popen[bytes]:
    """Start a cell; what it prints is appended to its train.log.

    Ctrl-C in the terminal does not reach it by itself.
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
    """Why a cell ended without scores, in one line: its exit status and the last line of its log."""
    try:
        with open(folder / LOG, "rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - TAIL, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        text = f"no {LOG}: {error.strerror}"
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    how = f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"
    return f"{how}: {lines[-1] if lines else 'nothing was printed'}"


def note_failure(cell: Cell, status: int, reason: str) -> None:
    """Write failed.json, with how many attempts have failed."""
    path = make_folder(cell.folder) / "failed.json"
    attempts = int(read_json(path).get("attempts", 0)) + 1
    content = {
        "reason": reason,
        "status": status,
        "attempts": attempts,
        "log": str(cell.folder / LOG),
    }
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=2)
