"""A command timed from outside: its wall time, the processor time and memory of all its processes,
and when rows appear in a table that it writes.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from utils.errors import UserError

POLL_SECONDS = 0.005  # between two looks at the child; the error of a wall time is half of it
MEMORY_SECONDS = 0.5  # between two sums of the memory, each of which takes some milliseconds
# Variables that would change what a program does by itself.
SCRUBBED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH", "VIRTUAL_ENV")
TAIL = 3000  # characters of a failed program's output that are shown


@dataclass(frozen=True)
class TimedCommand:
    """A command line, the folder it runs in, and the variables added to those of this process."""

    words: tuple[str, ...]
    folder: Path
    environment: dict[str, str]


@dataclass
class CommandTiming:
    """What a command took.

    Attributes:
        wall: Seconds from its start to its end.
        processor: Seconds of all cores, of the program and of the processes that it waited for.
        memory: The most memory of the program and its descendants at one time, MB. Memory that
            several of them share is counted once (Pss); 0 where the system does not tell.
        stamps: Seconds after the start at which each row of the watched table appeared.
    """

    wall: float = 0.0
    processor: float = 0.0
    memory: float = 0.0
    stamps: list[float] = field(default_factory=list)


def run_timed(command: TimedCommand, log: Path, table: Path | None = None) -> CommandTiming:
    """Run a command to its end.

    Args:
        command: The command.
        log: File for what it prints.
        table: File whose first line is a header and whose further lines are awaited; None for none.

    Raises:
        UserError: The command failed; the end of its output is printed.
    """
    kept = {key: value for key, value in os.environ.items() if key not in SCRUBBED}
    command.folder.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as output:
        start = time.perf_counter()
        child = subprocess.Popen(
            command.words,
            cwd=command.folder,
            env=kept | command.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            timing = _watch(child, start, table)
        finally:
            with suppress(ProcessLookupError):  # its helpers too, and all of them if interrupted
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        print(log.read_text(errors="replace")[-TAIL:], file=sys.stderr)
        raise UserError(f"status {child.returncode} of {shlex.join(command.words)}")
    return timing


def _watch(child: subprocess.Popen[bytes], start: float, table: Path | None) -> CommandTiming:
    """Wait for the child to end; start is when it was started, as perf_counter tells it."""
    timing, summed = CommandTiming(), start
    while True:
        ended, status, usage = os.wait4(child.pid, os.WNOHANG)
        now = time.perf_counter()
        if table is not None:
            timing.stamps += [now - start] * (_rows_of(table) - len(timing.stamps))
        if ended:
            break
        if now - summed >= MEMORY_SECONDS:
            timing.memory = max(timing.memory, tree_memory(child.pid))
            summed = now
        time.sleep(POLL_SECONDS)
    child.returncode = os.waitstatus_to_exitcode(status)
    timing.wall, timing.processor = now - start, usage.ru_utime + usage.ru_stime
    return timing


def _rows_of(table: Path) -> int:
    """Number of lines after the header; 0 if there is no file yet."""
    with suppress(FileNotFoundError):
        return max(len(table.read_bytes().splitlines()) - 1, 0)
    return 0


def tree_memory(process: int) -> float:
    """Memory of a process and all its descendants in MB, what they share counted once."""
    waiting, total = [process], 0
    while waiting:
        folder = Path("/proc") / str(waiting.pop())
        with suppress(OSError):  # a process that has just ended has no files any more
            total += _proportional(folder / "smaps_rollup")
            for children in folder.glob("task/*/children"):
                waiting += map(int, children.read_text().split())
    return total / 1000


def _proportional(rollup: Path) -> int:
    """The line Pss of a file like /proc/1/smaps_rollup, in kB."""
    lines = rollup.read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
