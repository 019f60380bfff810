"""The engines that run cells: a pool of processes on this machine, or Ray tasks on a cluster.

An engine leaves metrics.json in the folder of each cell that is done, and failed.json in that of
each cell that failed. A cell runs as a child process, which starts as cell.py.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from ablation.board import Board
from ablation.config import StudyConfig
from ablation.job import describe_end, launch, make_job, note_failure
from ablation.results import set_damaged_aside, state
from ablation.setup import Slot, make_slots
from ablation.study import Cell
from utils.errors import UserError
from utils.signals import StopSignal
from utils.text import counted

PROCESS_POLL = 0.2  # seconds between two looks at the running processes


def record_end(cell: Cell, status: int, board: Board) -> None:
    """Report how a cell ended, and write failed.json if it has no scores.

    Args:
        cell: the cell.
        status: exit status of its process.
        board: receives the event.
    """
    # metrics.json decides, and not the exit status, since it is the last file of a run.
    damage = set_damaged_aside([cell])
    if state(cell) == "done":
        board.done(cell)
        return
    reason = damage[0] if damage else describe_end(cell.folder, status)
    note_failure(cell, status, reason)
    board.failed(cell, reason)


def run_local(cells: Sequence[Cell], config: StudyConfig, board: Board) -> None:
    """Run the cells in this machine's slots, in their order. A failed one does not stop the others.

    Args:
        cells: the cells to run.
        config: the flags.
        board: receives the events.

    Raises:
        StopRequested: a signal arrived; the running cells have saved their state.
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
                for cell in [
                    cell for cell, (process, _) in running.items() if process.poll() is not None
                ]:
                    process, slot = running.pop(cell)
                    free.append(slot)
                    record_end(cell, process.returncode, board)
                board.look(running)
                stop.check()
                time.sleep(PROCESS_POLL)
        finally:
            end_all([process for process, _ in running.values()], board)


def end_all(processes: Sequence[subprocess.Popen[bytes]], board: Board) -> None:
    """Let processes save their state, and wait. A signal during the wait kills them."""
    if processes:
        board.say(
            f"stopping {counted(len(processes), 'run')}; they save their state first, another"
            " Ctrl-C does not wait"
        )
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.wait()
    finally:
        for process in processes:
            process.kill()


def run_ray(cells: Sequence[Cell], config: StudyConfig, board: Board) -> None:
    """Run the cells as Ray tasks.

    Args:
        cells: the cells to run.
        config: the flags.
        board: receives the events.

    Raises:
        StopRequested: a signal arrived; the running cells have saved their state.
        UserError: Ray is not installed, or there is no cluster.
    """
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UserError(
            "--engine ray: Ray is not installed; pip install ray, or use --engine local"
        ) from None
    from ablation.cluster import run_tasks

    run_tasks(cells, config, board)


ENGINES = {"local": run_local, "ray": run_ray}
