"""A call in a forked process: how it ended, how long it took, how much memory it needed.

The parent has imported everything, so that a call costs milliseconds and its memory is its own.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from utils.errors import UserError

LONGEST = 60  # seconds after which a call that waits or computes is killed
MOST_MEMORY = 2 * 2**30  # bytes beyond those of the parent at which allocations fail


@dataclass(frozen=True)
class MeasuredCall:
    """The end of a call.

    Attributes:
        how: "read", "refused", "traceback" or "killed".
        text: what the call returned, the line of the error, or the traceback.
        seconds: of the processor, since other programs may share it.
        megabytes: the largest memory in use, beyond that at the start.
    """

    how: str
    text: str
    seconds: float
    megabytes: float


def measured_call(call: Callable[[], object]) -> MeasuredCall:
    """Run a call in a process of its own and return how it ended."""
    with tempfile.TemporaryFile("w+") as report:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _run(call, report.fileno())
        start = time.monotonic()
        _, status = os.waitpid(child, 0)
        seconds = time.monotonic() - start
        report.seek(0)
        text = report.read()
    if not text:
        return MeasuredCall("killed", f"status {status}", seconds, 0.0)
    return MeasuredCall(**json.loads(text))


def _run(call: Callable[[], object], report: int) -> None:
    """The child's part, which never returns."""
    quiet = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(quiet, stream)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(LONGEST)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    before = _memory("VmRSS")
    limit = int(_memory("VmSize") * 2**20) + MOST_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    start, how, text = time.process_time(), "traceback", ""
    # Whatever the call raises ends here: in this process, the callers of the parent must not go on.
    try:
        how, text = _outcome(call)
    finally:
        figures = {
            "how": how,
            "text": text or traceback.format_exc(),
            "seconds": time.process_time() - start,
            "megabytes": max(_memory("VmHWM") - before, 0.0),
        }
        with open(report, "w", encoding="utf-8", closefd=False) as file:
            json.dump(figures, file)
        os._exit(0)


def _outcome(call: Callable[[], object]) -> tuple[str, str]:
    try:
        return "read", str(call())
    except UserError as error:
        return "refused", str(error)
    except SystemExit as error:
        return ("refused" if error.code == 2 else "read"), f"exit status {error.code}"


def _memory(name: str) -> float:
    """A figure of /proc/self/status in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0
