"""Peak memory of training beside the original's: python -m benchmarks.memory_tree --data FILE

The memory of a program is the sum of the proportional set sizes (PSS) of all its processes, which
counts a page that several share once. It is sampled from outside (Linux only). Both programs get
the same flags; the environment of the original is described in benchmarks/train_throughput.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.throughput_sides import Side, make_sides

INTERVAL = 0.2  # seconds between two samples
PROC = Path("/proc")


def memory_flags(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--data", required=True, help="data set YAML that both programs read")
    parser.add_argument("--reference-python", help="Python that has the original")
    parser.add_argument("--cfg", default="yolov5n.yaml", help="model that both know by this name")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=600, help="end a program after this time")
    return parser.parse_args(argv)


def family_of(root: int) -> Iterator[int]:
    """The process with this number, its children, and theirs."""
    yield root
    for path in (PROC / str(root) / "task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:  # it has ended
            continue
        for child in children:
            yield from family_of(int(child))


def proportional_size(process: int) -> float:
    """The PSS of a process in MB, 0 if it has ended."""
    try:
        lines = (PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("Pss:")), 0.0)


def watch_memory(child: subprocess.Popen[bytes], seconds: float) -> list[float]:
    """Sample a program until it ends or the time is over.

    Returns:
        The sizes of its processes in MB at the peak of their sum, the largest first.
    """
    peak, end = [0.0], time.monotonic() + seconds
    while child.poll() is None and time.monotonic() < end:
        sizes = [proportional_size(process) for process in family_of(child.pid)]
        peak = max(peak, sizes, key=sum)
        time.sleep(INTERVAL)
    return sorted(peak, reverse=True)


def measure(side: Side, seconds: float) -> list[float]:
    """Run a program for at most this time, and return what watch_memory() saw.

    Args:
        side: The program.
        seconds: The time.

    Raises:
        SystemExit: The program failed.
    """
    side.folder.mkdir(parents=True, exist_ok=True)
    place = [part.format(side.folder, "run") for part in side.place]
    with open(side.folder / "log.txt", "wb") as log:
        child = subprocess.Popen(
            [*side.start, *place],
            cwd=side.folder,
            env={**os.environ, **side.environment, "PYTHONPATH": ""},  # each has its own modules
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
        try:
            sizes = watch_memory(child, seconds)
            was_ended = child.poll() is None
        finally:
            child.terminate()
            child.wait()
    if child.returncode and not was_ended:
        raise SystemExit(f"{side.name}:\n{Path(log.name).read_text(errors='replace')[-3000:]}")
    return sizes


def compare_memory(argv: list[str] | None = None) -> None:
    """Measure both programs, and print a line for each."""
    flags = memory_flags(argv)
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        for side in make_sides(flags, Path(flags.data).absolute(), Path(folder)):
            sizes = measure(side, flags.seconds)
            parts = " + ".join(f"{size:.0f}" for size in sizes if size >= 1)
            print(f"{side.name:>10}: {sum(sizes):7.0f} MB at the peak ({parts})", flush=True)


if __name__ == "__main__":
    compare_memory()
