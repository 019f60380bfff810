"""Run cells as Ray tasks on an existing cluster.

This project, its Python and the data must be at the same paths on each node. The study's folder may
be shared or not: a task works in the folder of that path on its own node, and returns its small
files as bytes, which the driver writes where they are missing. Ray restarts a task when its node is
lost. In a shared folder the new task continues from the last checkpoint, and the lock of cell.py
makes it wait for processes of the old one that are still running.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ablation.board import Board
from ablation.config import StudyConfig
from ablation.job import LOG, CellJob, describe_end, launch, make_job, note_failure
from ablation.results import set_damaged_aside, state
from ablation.setup import Slot
from ablation.study import Cell
from utils.errors import UserError
from utils.files import ROOT, atomic_write, make_folder
from utils.signals import StopSignal

if TYPE_CHECKING:
    import ray

# metrics.json is the last one, because it marks a cell as done.
RETURNED_FILES = (
    LOG,
    "opt.yaml",
    "hyp.yaml",
    "results.csv",
    "timing.json",
    "weights/best.pt",
    "curves.npz",
    "metrics.json",
)
MAX_LOST_NODES = 5  # how often a cell is restarted on another node
MAX_FILE_BYTES = 256 * 2**20  # larger files are not returned
RAY_POLL = 1.0  # seconds between two looks at the tasks
SAVE_TIMEOUT = 120  # seconds that cancelled cells have to save their state


def run_cell(job: CellJob) -> tuple[int, str, dict[str, bytes]]:
    """Run a cell to its end, on a node of the cluster.

    Returns:
        The exit status, the reason why the cell failed or "", and the small files of its folder by
        name.
    """
    process = launch(job)
    try:
        status = process.wait()
    finally:  # The driver may have cancelled the task, and then the cell saves itself.
        if process.poll() is None:
            process.terminate()
            process.wait()
    is_done = (job.folder / "metrics.json").is_file()
    paths = {name: job.folder / name for name in RETURNED_FILES if (job.folder / name).is_file()}
    files = {
        name: path.read_bytes()
        for name, path in paths.items()
        if path.stat().st_size <= MAX_FILE_BYTES
    }
    return status, "" if is_done else describe_end(job.folder, status), files


def write_missing(cell: Cell, files: dict[str, bytes]) -> None:
    """Write the returned files that are missing in a cell's folder, on the driver."""
    for name in RETURNED_FILES:
        path = cell.folder / name
        if name in files and not path.exists():
            make_folder(path.parent)
            with atomic_write(path) as file:
                file.write(files[name])


def connect(config: StudyConfig) -> dict[str, float]:
    """Join the cluster, and return the resources that a task needs on a node.

    Raises UserError if there is no cluster, or no node with these resources.
    """
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray must not report to its makers.
    try:
        ray.init(
            config.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}
        )
    except (ConnectionError, ValueError) as error:
        raise UserError(
            f"--address {config.address}: {str(error).splitlines()[0]}; start one with `ray start"
            " --head`, or use --engine local"
        ) from None
    # Ray would wait forever for a node with enough resources, so their absence is an error.
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    wanted = {"CPU": float(config.cores_per_cell)}
    if config.device != "cpu" and any(node.get("GPU", 0) for node in nodes):
        wanted["GPU"] = 1.0
    if not any(all(node.get(name, 0) >= count for name, count in wanted.items()) for node in nodes):
        raise UserError(
            f"--cores-per-cell {config.cores_per_cell}: no node of the cluster has as many; give"
            " fewer"
        )
    return wanted


def run_tasks(cells: Sequence[Cell], config: StudyConfig, board: Board) -> None:
    """Run the cells as tasks. A cell that fails does not stop the others.

    Args:
        cells: the cells to run.
        config: the flags.
        board: receives the events.

    Raises:
        StopRequested: a signal arrived; the cells have saved their state.
        UserError: there is no cluster.
    """
    import ray

    wanted = connect(config)
    threads = {"OMP_NUM_THREADS": str(config.cores_per_cell)}
    slot = Slot(
        "" if "GPU" in wanted else "cpu", min(config.workers, config.cores_per_cell), threads
    )
    task = ray.remote(
        num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0), max_retries=MAX_LOST_NODES
    )(run_cell)
    waiting, most = list(cells), config.slots or len(cells)
    running: dict[ray.ObjectRef, Cell] = {}
    with StopSignal() as stop:
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    cell = waiting.pop(0)
                    running[task.remote(make_job(config, cell, slot))] = cell
                ready, _ = ray.wait(list(running), timeout=RAY_POLL)
                for reference in ready:
                    collect(reference, running.pop(reference), board)
                board.look(running.values())
                stop.check()
        finally:
            cancel_all(list(running))


def cancel_all(references: Sequence[ray.ObjectRef]) -> None:
    """Cancel the running tasks, wait until their cells have saved their state, and leave Ray."""
    import ray

    for reference in references:
        ray.cancel(reference)
    if references:
        ray.wait(list(references), num_returns=len(references), timeout=SAVE_TIMEOUT)
    ray.shutdown()


def collect(reference: ray.ObjectRef, cell: Cell, board: Board) -> None:
    """Take what a finished task returned, or note why it returned nothing.

    Args:
        reference: the finished task.
        cell: the cell that it ran.
        board: receives the event.
    """
    import ray

    try:
        status, reason, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        last = str(error).strip().splitlines()[-1]
        status, reason, files = -1, f"{type(error).__name__}: {last}", {}
    write_missing(cell, files)
    damage = set_damaged_aside([cell])
    if state(cell) == "done":
        board.done(cell)
    else:
        reason = damage[0] if damage else reason
        note_failure(cell, status, reason)
        board.failed(cell, reason)
