"""A lock on a folder that ends with its process, so that no two programs write into it at once."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import IO

from utils.errors import UserError

LOCK_FILE = ".train.lock"
WAIT = 5.0  # seconds, since a process that was just killed may take some to end
POLL = 0.1


class FolderLock:
    """Locks a folder until close(), the end of the process, or that of this object.

    The lock is one of POSIX, which forked loader workers do not inherit: they may live some seconds
    longer than a process that was killed. Where the system or the file system has no such locks,
    nothing is locked.
    """

    def __init__(self, folder: Path, wait: float = WAIT) -> None:
        """Lock a folder.

        Args:
            folder: An existing folder; the file LOCK_FILE is made in it, and stays.
            wait: Seconds to wait for another process.

        Raises:
            UserError: Another process has locked the folder, or nothing can be written into it.
        """
        try:
            self._file: IO[str] = open(folder / LOCK_FILE, "a+", encoding="utf-8")  # noqa: SIM115
        except OSError as error:
            raise UserError(
                f"{folder / LOCK_FILE}: cannot be written ({error.strerror}); choose another place"
            ) from None
        deadline = time.monotonic() + wait
        while not _try_lock(self._file):
            if time.monotonic() >= deadline:
                raise UserError(self._refusal(folder))
            time.sleep(POLL)
        self._write_holder()

    def _refusal(self, folder: Path) -> str:
        self._file.seek(0)
        holder = self._file.read(20).strip()
        self._file.close()
        return (
            f"{folder}: process {holder if holder.isdecimal() else 'of unknown number'} is training"
            " in this folder; wait for it, or choose another --name"
        )

    def _write_holder(self) -> None:
        # The number is for the message only; a full disk must not prevent the lock.
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(str(os.getpid()))
            self._file.flush()

    def close(self) -> None:
        """Release the lock."""
        with contextlib.suppress(OSError):
            self._file.close()


def _try_lock(file: IO[str]) -> bool:
    """Lock an open file; return False if another process holds a lock on it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return True
    return True
