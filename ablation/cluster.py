"""Cells as Ray tasks on an existing cluster. This project, its Python and the data are at the same
paths on each node.

The study's folder may be shared or not: a task works in the folder of that path on its own node,
and its small files come back as bytes, which the driver writes where they are missing. Ray starts a
task anew when its node is lost; in a shared folder the new one goes on from the last checkpoint,
and cell.py's lock keeps the old one's remains apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ablation.board import Board
from ablation.job import LOG, Job, describe_end, launch, make_job, note_failure
from ablation.setup import Slot
from ablation.study import Cell, StudyConfig, state
from utils.errors import UserError
from utils.files import ROOT, atomic_write, make_folder
from utils.signals import StopSignal

KEPT = (
    LOG,
    "opt.yaml",
    "hyp.yaml",
    "results.csv",
    "timing.json",
    "weights/best.pt",
    "metrics.json",
)  # last: the mark
MOST_LOST_NODES = 5  # how often a cell is started anew elsewhere
LARGEST = 256 * 2**20  # bytes of a file that is sent
SECONDS = 1.0  # between two looks
PATIENCE = 120  # seconds for cancelled cells to save themselves


def run_cell(job: Job) -> tuple[int, str, dict[str, bytes]]:
    """On a node: run a cell to its end.

    (exit status, why it gave up or "", the small files of its folder).
    """
    process = launch(job)
    try:
        status = process.wait()
    finally:  # cancelled by the driver: the cell saves itself
        if process.poll() is None:
            process.terminate()
            process.wait()
    done = (job.folder / "metrics.json").is_file()
    paths = {name: job.folder / name for name in KEPT if (job.folder / name).is_file()}
    files = {
        name: path.read_bytes() for name, path in paths.items() if path.stat().st_size <= LARGEST
    }
    return status, "" if done else describe_end(job.folder, status), files


def write_missing(cell: Cell, files: dict[str, bytes]) -> None:
    """On the driver: put the files of a cell that ran on a folder which is not shared where they
    belong.
    """
    for name in KEPT:
        path = cell.folder / name
        if name in files and not path.exists():
            make_folder(path.parent)
            with atomic_write(path) as file:
                file.write(files[name])


def connect(ray: Any, config: StudyConfig) -> dict[str, float]:
    """Join the cluster; what a task asks of a node.

    Raises UserError if there is no cluster, or no node suffices.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is ever sent anywhere
    try:
        ray.init(
            config.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}
        )
    except (ConnectionError, ValueError) as error:
        raise UserError(
            f"--address {config.address}: {str(error).splitlines()[0]}; start one with `ray start"
            " --head`, or use --engine local"
        ) from None
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
    """Run the cells as tasks; one that fails does not stop the rest.

    Raises StopRequested after a signal.
    """
    import ray

    wanted = connect(ray, config)
    threads = {"OMP_NUM_THREADS": str(config.cores_per_cell)}
    slot = Slot(
        "" if "GPU" in wanted else "cpu", min(config.workers, config.cores_per_cell), threads
    )
    task = ray.remote(
        num_cpus=wanted["CPU"], num_gpus=wanted.get("GPU", 0), max_retries=MOST_LOST_NODES
    )(run_cell)
    waiting, most = list(cells), config.slots or len(cells)
    running: dict[Any, Cell] = {}
    with StopSignal() as stop:
        try:
            while waiting or running:
                while waiting and len(running) < most:
                    cell = waiting.pop(0)
                    running[task.remote(make_job(config, cell, slot))] = cell
                ready, _ = ray.wait(list(running), timeout=SECONDS)
                for reference in ready:
                    collect(ray, reference, running.pop(reference), board)
                board.look(running.values())
                stop.check()
        finally:
            for reference in running:
                ray.cancel(reference)
            ray.wait(list(running), num_returns=len(running), timeout=PATIENCE) if running else None
            ray.shutdown()


def collect(ray: Any, reference: Any, cell: Cell, board: Board) -> None:
    """Take what a finished task returned, or write down why it returned nothing."""
    try:
        status, reason, files = ray.get(reference)
    except ray.exceptions.RayError as error:
        status, reason, files = (
            -1,
            f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}",
            {},
        )
    write_missing(cell, files)
    if state(cell) == "done":
        board.done(cell)
    else:
        note_failure(cell, status, reason)
        board.failed(cell, reason)
