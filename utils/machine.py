"""What of this machine a process may use: processor cores, shared with the processes beside it."""

from __future__ import annotations

import os
from pathlib import Path

CONTROL_GROUP = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """The cores that this process may use, by its affinity and the quota of its container."""
    cores = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    try:
        quota, period = (CONTROL_GROUP / "cpu.max").read_text(encoding="ascii").split()
        return min(cores, max(-(-int(quota) // int(period)), 1))
    except (OSError, ValueError, ZeroDivisionError):  # there is no container, or "max", no limit
        return cores


def processes_here() -> int:
    """The processes of a training on this machine, as torchrun counts them; 1 without it."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
