"""The memory of this machine, or of the container in which the process runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from utils.machine import CONTROL_GROUP


def available_memory() -> int:
    """Bytes available without swapping or reaching the container's limit; 0 if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(
            int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")
        )
    except (OSError, StopIteration):
        return 0
    return min(free, _container_memory())


def total_memory() -> int:
    """Bytes of the machine, or of the container's limit if that is lower; 0 if unknown."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text(encoding="ascii").strip()
        return whole if limit == "max" else min(whole, int(limit))
    except (OSError, ValueError):
        return whole


def _container_memory() -> int:
    """Bytes left under the limit of the control group (v2), or sys.maxsize without a limit."""
    try:
        limit = (CONTROL_GROUP / "memory.max").read_text(encoding="ascii").strip()
        lines = (CONTROL_GROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        fields = dict(line.split() for line in lines)
        if limit == "max":
            return sys.maxsize
        # memory.current would count the page cache too, which the kernel frees on demand.
        return max(int(limit) - int(fields["anon"]) - int(fields["shmem"]), 0)
    except (OSError, ValueError, KeyError):
        return sys.maxsize
