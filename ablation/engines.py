"""Who runs the cells: a pool of processes on this machine, or Ray tasks on a cluster. Each cell is
cell.py as a child.

Both engines take cells and leave folders: metrics.json in a cell that is done, failed.json in one
that gave up.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from ablation.board import Board
from ablation.job import describe_end, launch, make_job, note_failure
from ablation.setup import Slot, make_slots
from ablation.study import Cell, StudyConfig, state
from utils.errors import UserError
from utils.signals import StopSignal

SECONDS = 0.2  # between two looks at the running processes


def settle_cell(cell: Cell, status: int, board: Board) -> None:
    """Tell how a cell ended, and write down why if it gave up."""
    if state(cell) == "done":
        board.done(cell)
        return
    reason = describe_end(cell.folder, status)
    note_failure(cell, status, reason)
    board.failed(cell, reason)


def run_local(cells: Sequence[Cell], config: StudyConfig, board: Board) -> None:
    """Run the cells in the slots of this machine, in their order; one that fails does not stop the
    rest.

    A signal is passed to the running cells, which save themselves. Raises StopRequested when they
    have.
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
                    settle_cell(cell, process.returncode, board)
                board.look(running)
                stop.check()
                time.sleep(SECONDS)
        finally:
            end_all([process for process, _ in running.values()], board)


def end_all(processes: Sequence[subprocess.Popen[bytes]], board: Board) -> None:
    """Ask processes to save themselves and wait for it; a signal that comes meanwhile kills them."""
    if processes:
        board.say(
            f"stopping {len(processes)} running cells; they save their state first, another Ctrl-C"
            " does not wait"
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
    """Run the cells as Ray tasks; imported where it is used.

    Raises UserError if Ray is not installed.
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
