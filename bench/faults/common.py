"""What several campaigns need: functions run in a process of their own under limits, and tables.

A campaign is a module with COUNT, the number of its cases, and a function
`campaign(count, seed, jobs)` that returns the rows of a table, in which "held" says whether all was
as it must be. Its main() is run_campaign().
"""

from __future__ import annotations

import argparse
import ctypes
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from utils.errors import run_main
from utils.tables import format_seconds, text_table

Row = dict[str, Any]
Campaign = Callable[[int, int, int], list[Row]]
_T = TypeVar("_T")
_R = TypeVar("_R")
FORK = multiprocessing.get_context("fork")
POLL_S = 0.005
BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of prctl(2)


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: Its exit status as a shell shows it: 128 plus the number of a deadly signal.
        out, err: What it wrote to standard output and to standard error.
        seconds: How long it ran.
        peak_mb: The most memory that it had beyond what it started with, MB.
        limit: "time" or "memory" if it was killed for that, else "".
        busy_s: Processor time that it took, which other programs do not lengthen; 0 if it was
            killed.
    """

    status: int
    out: str
    err: str
    seconds: float
    peak_mb: float = 0.0
    limit: str = ""
    busy_s: float = 0.0

    @property
    def exception(self) -> str:
        """The last line of the tracebacks; "" if there is none."""
        # The launcher of several processes logs tracebacks of its own, behind another prefix.
        text = re.sub(r"^\[rank\d+\]: ", "", f"{self.out}\n{self.err}", flags=re.M)
        _, found, trace = text.partition("\nTraceback (most recent call last)")
        ends = re.findall(r"^[\w.]+(?:Error|Exception|Interrupt|Requested)\b.*", trace, re.M)
        return ends[-1] if ends else found.strip()

    @property
    def is_finished(self) -> bool:
        """Whether train.py refused to continue a run since it has come to its end already."""
        return self.status == 2 and "the run is finished" in self.err

    @property
    def messages(self) -> list[str]:
        """The lines on standard error, without progress bars."""
        lines = (line.strip() for line in re.split(r"[\r\n]+", self.err))
        return [line for line in lines if line and not re.search(r"%\|.*\||\bit/s\]", line)]


class Child:
    """A function that runs in a forked process, the leader of a group of its own.

    Its exit status is that of utils.errors.run_main(). What has been imported here needs no import
    there, so a run of the training program takes half a second.
    """

    def __init__(
        self, function: Callable[[], object], logs: Path, out: str | Path | None = None
    ) -> None:
        """Start it.

        Args:
            function: What to call.
            logs: An empty folder for its standard output and standard error.
            out: Where standard output goes instead.
        """
        self.files = [Path(out or logs / "out"), logs / "err"]
        self._memory = FORK.Array("q", 2)  # at the start, and the peak at the end, bytes
        self._busy = FORK.Value("d", 0.0)  # processor time at the end, seconds
        self.started = time.monotonic()
        self._process = FORK.Process(target=self._run, args=(function,))
        self._process.start()
        self.pid = self._process.pid or 0

    def _run(self, function: Callable[[], object]) -> None:
        os.setsid()
        for number, path in enumerate(self.files, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        # Not the streams of the parent, which a test may have replaced.
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", buffering=1)  # noqa: SIM115
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self._memory[0] = _resident("self", "VmRSS")
        try:
            sys.exit(_flushed(run_main(lambda _: function())))
        finally:
            self._busy.value = time.process_time()  # that of a fork starts at 0
            self._memory[1] = _resident("self", "VmHWM")

    def kill(self, number: int = signal.SIGKILL, group: bool = False) -> None:
        """Send it, or its whole group, a signal; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.pid, number)

    def ended_within(self, seconds: float) -> bool:
        """Wait for its end for so long at most."""
        self._process.join(max(seconds, 0))
        return self._process.exitcode is not None

    def wait(self, seconds: float = 60, megabytes: float = float("inf")) -> Ended:
        """Wait for its end, and kill its group if it takes more seconds or megabytes than these."""
        limit, peak = "", 0
        while not self.ended_within(POLL_S):
            start = self._memory[0]  # 0 until its peak has been reset
            peak = max(peak, _resident(self.pid, "VmHWM") - start) if start else 0
            if time.monotonic() - self.started > seconds:
                limit = "time"
            elif peak > megabytes * 1e6:
                limit = "memory"
            if limit:
                self.kill(group=True)
        code = self._process.exitcode or 0
        peak = max(peak, self._memory[1] - self._memory[0])
        out, err = (
            path.read_text("utf-8", errors="replace") if path.is_file() else ""
            for path in self.files
        )
        status = 128 - code if code < 0 else code
        seconds = time.monotonic() - self.started
        return Ended(status, out, err, seconds, peak / 1e6, limit, self._busy.value)


def _flushed(status: int) -> int:
    """The status after the last flush of standard output: Python makes it 120 if that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.write(2, f"Exception ignored while flushing sys.stdout: {error}\n".encode())
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        return 120
    except ValueError:  # the program has closed it
        pass
    return status


def _resident(process: int | str, field: str) -> int:
    """VmRSS or VmHWM of a process, bytes; 0 if it has ended, or where there is no /proc."""
    with suppress(OSError):
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
        return int(found[1]) * 1024 if found else 0
    return 0


def measured(function: Callable[[], object], seconds: float, megabytes: float) -> Ended:
    """Call a function in a process of its own, which is killed beyond these limits.

    Args:
        function: What to call; a UserError gives status 2 and its line on standard error, other
            errors a traceback, and the int that it returns is the status.
        seconds: The longest that it may take.
        megabytes: The most memory that it may take beyond what this process has.

    Returns:
        How it ended.
    """
    with scratch_folder() as logs:
        return Child(function, logs).wait(seconds, megabytes)


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder that is removed afterwards."""
    # Not TemporaryDirectory, whose finalizer would also run where a forked process ends.
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir=parent)).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def spread(function: Callable[[_T], _R], tasks: Sequence[_T], jobs: int) -> Iterator[_R]:
    """Yield the results for all tasks as they come, from this number of processes."""
    # No tqdm bar, since its lock would be shared with forked programs, which may be killed with it.
    start = time.monotonic()
    with ProcessPoolExecutor(max(jobs, 1), FORK, initializer=adopt_orphans) as pool:
        futures = [pool.submit(function, task) for task in tasks]
        for done, future in enumerate(as_completed(futures), start=1):
            yield future.result()
            took = format_seconds(time.monotonic() - start)
            print(f"\r{done} of {len(tasks)}, {took}  ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def adopt_orphans() -> None:
    """Become the parent of processes whose own parent ends, so that survivors() sees them."""
    ctypes.CDLL(None).prctl(BECOME_SUBREAPER, 1, 0, 0, 0)


def children_of(process: int) -> list[int]:
    """The numbers of a process's children; [] if it has ended."""
    with suppress(OSError):
        text = Path(f"/proc/{process}/task/{process}/children").read_text()
        return [int(word) for word in text.split()]
    return []


def survivors(seconds: float) -> int:
    """Wait so long for all children to end; kill the others, and return their number."""
    end = time.monotonic() + seconds
    while (left := _running_children()) and time.monotonic() < end:
        time.sleep(0.05)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return len(left)


def _running_children() -> list[int]:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return children_of(os.getpid())


def run_campaign(campaign: Campaign, count: int, argv: Sequence[str] | None = None) -> int:
    """Run a campaign by its command line and print its table.

    Args:
        campaign: The campaign.
        count: How many cases it has unless --count says otherwise.
        argv: The flags; None takes those of the program.

    Returns:
        The exit status: 0 only if all held.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=count, help="number of cases")
    parser.add_argument("--seed", type=int, default=0, help="chooses the cases")
    parser.add_argument("--jobs", type=int, default=1, help="cases at a time")
    flags = parser.parse_args(argv)
    start = time.monotonic()
    rows = campaign(flags.count, flags.seed, flags.jobs)
    headers = list(rows[0])
    print("\n" + text_table(headers, [[row[name] for name in headers] for row in rows]))
    print(f"took {format_seconds(time.monotonic() - start)}")
    return int(not all(row["held"] for row in rows))


def tally(cases: Sequence[Sequence[str]], kinds: Sequence[str]) -> Row:
    """Count cases by their faults, which are texts that begin with their kind and a colon.

    Args:
        cases: The faults of each case.
        kinds: The kinds that are counted.

    Returns:
        The number of cases that have a fault of each kind, and whether there is none of any kind.
    """
    counts = {
        kind: sum(any(fault.startswith(f"{kind}:") for fault in case) for case in cases)
        for kind in kinds
    }
    return {**counts, "held": not any(cases)}


def count_texts(texts: Sequence[str]) -> list[str]:
    """Different texts, the most frequent first, with their numbers."""
    return [f"{count} × {text}" for text, count in Counter(texts).most_common()]
