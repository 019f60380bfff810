"""Memory that a program has freed stays with it, as far as the C library allows it.

A network's maps are freed and allocated anew in each step. By default glibc returns more than
64 MB of them to the system each time, which then has to clear every page once more.
"""

from __future__ import annotations

import sys

# Names and numbers of malloc.h; glibc takes no larger limit for single allocations than 32 MiB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_IN_HEAP = 32 * 2**20
KEPT = 2**31 - 1  # bytes, the largest number that mallopt() takes


def keep_freed_memory() -> bool:
    """Let this process and those that it starts by fork keep what they free.

    When more than KEPT bytes are free at the heap's end, glibc returns all of them.

    Returns False where the C library is not glibc, and nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no such function
        return False
    limits = {M_MMAP_THRESHOLD: LARGEST_IN_HEAP, M_TRIM_THRESHOLD: KEPT}
    return all(mallopt(name, value) == 1 for name, value in limits.items())
