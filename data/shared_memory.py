"""Shared memory, in which worker processes hand batches over, and what is said if it is small."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")


def free_shared_memory() -> float:
    """Bytes that are free in /dev/shm; without limit where the system has no such folder."""
    return shutil.disk_usage(SHARED_MEMORY).free if SHARED_MEMORY.is_dir() else math.inf


def pipe_note(need: float, free: float) -> str:
    """A sentence on batches that go through pipes, and what to do about it.

    A container has 64 MB of shared memory by default.

    Args:
        need: Bytes of the batches that are under way in all processes.
        free: Bytes that are free in /dev/shm.
    """
    enough = math.ceil(2 * need / 1e9)  # for validation too
    return (
        f"the batches that are read ahead take {need / 1e6:.0f} MB, but shared memory (/dev/shm)"
        f" has {free / 1e6:.0f} MB free: they go through pipes and unpinned memory, for which the"
        f" GPU waits; start the container with --shm-size={enough}g or --ipc=host, or use a"
        " smaller --workers"
    )
