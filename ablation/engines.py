"""Who runs the cells: a pool of processes on this machine, or Ray tasks on a cluster. Each cell is cell.py as a child.

Both engines take cells and leave folders: metrics.json in a cell that is done, failed.json in one that gave up.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ablation.board import Board
from ablation.setup import Slot, cell_flags, make_slots
from ablation.study import Cell, StudyConfig, read_json, state
from utils.errors import UserError
from utils.files import ROOT, atomic_write, make_folder
from utils.signals import StopSignal

CELL, TRAIN = Path(__file__).with_name("cell.py"), ROOT / "train.py"
LOG = "train.log"
SECONDS = 0.2  # between two looks at the running processes
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
    """Start a cell; what it prints is appended to its train.log. Ctrl-C in the terminal does not reach it by itself."""
    make_folder(job.folder)
    command = [sys.executable, str(CELL), str(job.folder), str(os.getpid()), str(TRAIN), *job.flags]
    with open(job.folder / LOG, "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                cwd=job.working_folder, env={**os.environ, **job.environment},
                                start_new_session=True)  # fmt: skip


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
    content = {"reason": reason, "status": status, "attempts": attempts, "log": str(cell.folder / LOG)}
    with atomic_write(path, "w") as file:
        json.dump(content, file, indent=2)


def settle_cell(cell: Cell, status: int, board: Board) -> None:
    """Tell how a cell ended, and write down why if it gave up."""
    if state(cell) == "done":
        board.done(cell)
        return
    reason = describe_end(cell.folder, status)
    note_failure(cell, status, reason)
    board.failed(cell, reason)


def run_local(cells: Sequence[Cell], config: StudyConfig, board: Board) -> None:
    """Run the cells in the slots of this machine, in their order; one that fails does not stop the rest.

    A signal is passed to the running cells, which save themselves. Raises StopRequested when they have.
    """
    waiting, free = list(cells), make_slots(config)
    running: dict[Cell, tuple[subprocess.Popen[bytes], Slot]] = {}
    with StopSignal() as stop:
        try:
            while waiting or running:
                while waiting and free and not stop.status:
                    slot, cell = free.pop(0), waiting.pop(0)
                    board.started(cell)
                    running[cell] = (launch(make_job(config, cell, slot)), slot)
                for cell in [cell for cell, (process, _) in running.items() if process.poll() is not None]:
                    process, slot = running.pop(cell)
                    free.append(slot)
                    settle_cell(cell, process.returncode, board)
                board.look(running)
                stop.check()
                time.sleep(SECONDS)
        finally:
            end_all([process for process, _ in running.values()], board)


def end_all(processes: Sequence[subprocess.Popen[bytes]], board: Board) -> None:
    """Ask processes to save themselves and wait for it; a signal that comes meanwhile kills them."""
    if processes:
        board.say(f"stopping {len(processes)} running cells; they save their state first, another Ctrl-C does not wait")
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.kill()


def run_ray(cells: Sequence[Cell], config: StudyConfig, board: Board) -> None:
    """Run the cells as Ray tasks; imported where it is used. Raises UserError if Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UserError("--engine ray: Ray is not installed; pip install ray, or use --engine local") from None
    from ablation.cluster import run_tasks

    run_tasks(cells, config, board)


ENGINES = {"local": run_local, "ray": run_ray}
