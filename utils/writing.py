"""Temporary files: their names, a file that remembers a failed write, and what killed writes left.

utils/files.py has atomic_write(), which uses them; so do the writers of videos.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import platform
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from utils.errors import UserError
from utils.text import printable

# The name is short, whatever the target is called, and says which process may still write it.
TEMPORARY = re.compile(r"\.tmp-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}(\.\w+)?")
FORMER = re.compile(r"\..+\.(tmp|previous)-(?P<process>\d+)(\.mp4)?")  # as version 0.9 named them
ABANDONED = 3600.0  # seconds after the last change from which on no process can still be writing
BUFFER = 1 << 20  # bytes
# Reasons that concern one file only, so that the next one may succeed.
OWN_REASONS = (
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
    *(errno.EFBIG, errno.ELOOP),
)
MOST_NAMED = 5  # files that the last line of a program names


class OutputError(UserError):
    """A file that cannot be written. is_own says that the reason concerns this file only."""

    def __init__(self, path: str | Path, error: OSError, verb: str = "written") -> None:
        self.is_own = error.errno in OWN_REASONS
        remedy = (
            "choose a shorter name"
            if error.errno == errno.ENAMETOOLONG
            else "its folder does not exist; make it"
            if error.errno == errno.ENOENT
            else "free some space or choose another place"
        )
        reason = error.strerror or printable(error, 80)
        super().__init__(f"{path}: cannot be {verb} ({reason}); {remedy}")


@dataclass
class Unwritten:
    """The files that could not be written for reasons of their own, while the others were."""

    messages: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Note a file that the block cannot write, and go on; what concerns all files is raised."""
        try:
            yield
        except OutputError as error:
            if not error.is_own:
                raise
            self.messages.append(str(error))

    def report(self) -> None:
        """Raise UserError with the number and the first of these files, if there are any."""
        count = len(self.messages)
        if count:
            more = f"; and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
            named = "; ".join(self.messages[:MOST_NAMED])
            files = "file is" if count == 1 else "files are"
            raise UserError(f"{count} {files} missing, all others are written: {named}{more}")


class _Disk(io.FileIO):
    """A file that keeps the error of its first failed write, and ignores all that follows.

    The writers of archives turn such an error into others, and write again while they are cleaned
    up. They never learn of it here, so that it can be reported once they have ended.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        if self.failure is None:
            try:
                return super().write(data)
            except OSError as error:
                self.failure = error
        return memoryview(data).nbytes


@contextlib.contextmanager
def synced_file(path: Path, mode: str) -> Iterator[IO[Any]]:
    """Make a new file, and sync it to the disk at the end of the block.

    Args:
        path: The file, which must not exist.
        mode: "wb", or "w" for UTF-8 text.

    Raises:
        OSError: It cannot be written, whatever the block made of that.
    """
    disk = _Disk(path, "x")
    binary = io.BufferedWriter(disk, BUFFER)
    # A text may hold bytes of a file name that are not UTF-8.
    file = binary if "b" in mode else io.TextIOWrapper(binary, "utf-8", errors="replace")
    with file:
        try:
            yield file
            file.flush()
        finally:
            if disk.failure is not None:
                raise disk.failure
        os.fsync(disk.fileno())


def temporary_beside(path: Path, suffix: str = "") -> Path:
    """The path of a new temporary file in the folder of path, where a rename is atomic.

    What killed writes have left in this folder is removed first.
    """
    _sweep_once(path.parent)
    name = f".tmp-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{suffix}"
    return path.parent / name


@cache
def _sweep_once(folder: Path) -> None:
    sweep(folder)


def sweep(folder: Path, depth: int = 0) -> None:
    """Remove the temporary files that killed processes have left in a folder.

    Args:
        folder: The folder, which need not exist.
        depth: How many levels of folders below it are swept too.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if depth and entry.is_dir(follow_symlinks=False):
                sweep(Path(entry.path), depth - 1)
            elif entry.name.startswith(".") and is_abandoned(Path(entry.path)):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def is_abandoned(path: Path) -> bool:
    """Whether a file is a temporary one of ours that no process can still be writing.

    That is so if its process has ended. The process of another machine or container, which may
    share the folder, cannot be looked at, and the number of a process is used again; so a file that
    has not changed for an hour counts too.
    """
    found = TEMPORARY.fullmatch(path.name) or FORMER.fullmatch(path.name)
    if not found:
        return False
    status = path.lstat()
    # A rename or a link sets the time of the status only.
    if time.time() - max(status.st_mtime, status.st_ctime) > ABANDONED:
        return True
    parts = found.groupdict()
    return parts.get("machine", _machine()) == _machine() and not _runs(int(parts["process"]))


def _runs(process: int) -> bool:
    if os.name != "posix":  # elsewhere os.kill() would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it belongs to another user
        return True
    # A process that has ended keeps its number until its parent asks for its status, which the
    # first process of a container may never do.
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
        return state.split()[:1] != ["Z"]
    return True


@cache
def _machine() -> str:
    """Eight digits for the set of processes that this one can see: machine, boot and container."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        parts.append(os.readlink("/proc/self/ns/pid"))
    return blake2b("\0".join(parts).encode(errors="replace"), digest_size=4).hexdigest()
