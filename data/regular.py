"""Files that are opened only if they are regular, since a pipe or a device may block for ever."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

KINDS = (
    (stat.S_ISDIR, errno.EISDIR, "is a folder"),
    (stat.S_ISFIFO, errno.EINVAL, "is a named pipe and not a file"),
    (stat.S_ISSOCK, errno.EINVAL, "is a socket and not a file"),
    (stat.S_ISCHR, errno.EINVAL, "is a device and not a file"),
    (stat.S_ISBLK, errno.EINVAL, "is a device and not a file"),
)


def open_regular(path: str | Path) -> IO[bytes]:
    """Open a regular file for reading, without waiting for anything.

    Raises OSError for every other kind of file, and ValueError for a path with a zero byte.
    """
    # The state is asked before the file is opened, since opening a device may have an effect.
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        raise _not_regular(mode, path)
    file = open(path, "rb", opener=_open_without_waiting)  # noqa: SIM115
    mode = os.fstat(file.fileno()).st_mode
    if not stat.S_ISREG(mode):  # it was replaced in between
        file.close()
        raise _not_regular(mode, path)
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    # Without this flag open() would wait for a writer if the path has become a pipe by now.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _not_regular(mode: int, path: str | Path) -> OSError:
    number, what = next(
        ((number, what) for holds, number, what in KINDS if holds(mode)),
        (errno.EINVAL, "is not a regular file"),
    )
    return OSError(number, what, str(path))
