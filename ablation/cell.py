"""One cell as a process: waits until nobody else works on it, then becomes train.py, which starts
it or goes on.

    python ablation/cell.py FOLDER PARENT train.py FLAGS…

The engines start this and not train.py itself, so that no cell is ever trained twice at once: a
lock on the cell's folder is held until train.py and its loader processes are gone, whatever became
of who started them. On Linux the process ends with its parent. It needs the standard library only,
since it is replaced at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; where it cannot, the lock makes the
    next start wait.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was told
        sys.exit(f"process {parent}, which started this cell, is gone")


def lock(folder: Path) -> None:
    """Wait until no other process works in the folder; the lock lasts as long as this process and
    its children.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for the process that still works on this cell", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)


def choose_flags(folder: Path, flags: list[str]) -> list[str]:
    """What train.py is given: its flags, or --resume where it left a checkpoint; [] if there is
    nothing left to do.
    """
    if (folder / "metrics.json").is_file():
        return []
    last = folder / "weights" / "last.pt"
    return ["--resume", str(last)] if last.is_file() else flags


def main(argv: list[str]) -> None:
    """Become train.py; return only if the cell is already done."""
    folder, program = Path(argv[0]), argv[2]
    end_with_parent(int(argv[1]))
    lock(folder)
    flags = choose_flags(folder, argv[3:])
    if flags:
        os.execv(sys.executable, [sys.executable, program, *flags])


if __name__ == "__main__":
    main(sys.argv[1:])
