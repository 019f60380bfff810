"""The process of one cell: it waits until its folder is free, and then becomes train.py.

    python ablation/cell.py FOLDER PARENT train.py FLAGS…

The engines start this file instead of train.py, so that no cell is ever trained twice at once. A
lock on the cell's folder is held until train.py and its loader processes have ended, even if the
engine itself was killed. On Linux the process ends with its parent. This file needs the standard
library only, because the process is replaced at once.
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
    """Let the kernel kill this process when its parent ends.

    Where the kernel cannot do that, the lock still makes the next start wait.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    # The parent may have ended before the call, and then no signal comes.
    if os.getppid() != parent:
        sys.exit(f"process {parent}, which started this run, has ended")


def lock_cell(folder: Path) -> None:
    """Wait until no other process works in the folder, and lock it.

    The lock lasts as long as this process and its children.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    # train.py, which replaces this process, and its children must inherit the open file, since the
    # lock ends with the last process that has it open.
    os.set_inheritable(handle, True)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for the process that still works on this run", flush=True)
        fcntl.flock(handle, fcntl.LOCK_EX)


def choose_flags(folder: Path, flags: list[str]) -> list[str]:
    """The flags for train.py, or --resume if there is a checkpoint, or [] if the cell is done."""
    if (folder / "metrics.json").is_file():
        return []
    last = folder / "weights" / "last.pt"
    if not last.is_file():
        return flags
    # A run goes on with its own settings, but never imports a file that only its checkpoint names.
    return ["--resume", str(last), *(word for word in flags if word.startswith("--modules="))]


def main(argv: list[str]) -> None:
    """Become train.py, or return if the cell is already done."""
    folder, program = Path(argv[0]), argv[2]
    end_with_parent(int(argv[1]))
    lock_cell(folder)
    flags = choose_flags(folder, argv[3:])
    if flags:
        os.execv(sys.executable, [sys.executable, program, *flags])


if __name__ == "__main__":
    main(sys.argv[1:])
