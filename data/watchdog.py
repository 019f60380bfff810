"""A watch over worker processes: which image each one reads, and whether any of them goes on.

A worker that was stopped, or that waits for a disk which does not answer, sends no batch and no
error. Without a watch the main process would wait for it for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import math
import mmap
import os
import signal
import threading
from collections.abc import Callable, Iterator

import numpy as np

from utils.errors import UserError
from utils.text import printable

VARIABLE = "YOLO_WORKER_TIMEOUT"  # seconds; 0 for no limit
USUAL_LIMIT = 120.0  # seconds without any progress
POLL = 5.0  # seconds between two looks at the workers
NAMED = 4  # workers that are named


class WorkerWatch:
    """Shared memory in which each worker process writes what it reads, and a thread that looks.

    rows[k] belongs to worker k: its process id, the number of the image that it reads plus one, and
    the number of images that it has begun. A spawned worker has a copy, so that what it reads is
    not seen; `started` has the process ids of all, also of one that has not come to write its own.
    While `waiting` is true and no worker goes on, the thread ends them after a while, so that the
    main process gets the error of a worker that has died; `verdict` then says why.
    """

    def __init__(self, workers: int) -> None:
        self.limit = time_limit() if workers else 0.0
        self.poll = min(POLL, self.limit)
        self.waiting, self.verdict = False, ""
        self.started: list[int] = []
        shared = mmap.mmap(-1, max(workers, 1) * 3 * 8)
        self.rows = np.frombuffer(shared, dtype=np.int64).reshape(-1, 3)
        if workers:  # this runs before the end of the process waits for its workers
            atexit.register(_wake, self.rows)

    @contextlib.contextmanager
    def watching(self, path_of: Callable[[int], str]) -> Iterator[None]:
        """Look at the workers as long as the block lasts.

        Args:
            path_of: Number of an image -> its path.
        """
        if not self.limit:
            yield
            return
        done = threading.Event()
        threading.Thread(target=self._look, args=(done, path_of), daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def _look(self, done: threading.Event, path_of: Callable[[int], str]) -> None:
        # Polls are counted rather than seconds, since all processes may be suspended together.
        allowed, polls, seen = math.ceil(self.limit / self.poll), 0, b""
        while not done.wait(self.poll):
            now = self.rows.tobytes()
            polls = polls + 1 if self.waiting and now == seen else 0
            seen = now
            if polls >= allowed:
                self.verdict = (
                    f"no image was read for {self.limit:g} seconds; worker processes:"
                    f" {self.describe(path_of)}; check the disk or network share, or set {VARIABLE}"
                )
                self._kill()
                return

    def _kill(self) -> None:
        # A process that is stopped ends by this signal only.
        for pid in self._pids():
            with contextlib.suppress(OSError):  # it has ended
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))

    def _pids(self) -> list[int]:
        return sorted({int(pid) for pid in (*self.rows[:, 0], *self.started) if pid})

    def describe(self, path_of: Callable[[int], str]) -> str:
        """The workers and the images that they read.

        Args:
            path_of: Number of an image -> its path.
        """
        busy = [(int(pid), int(number) - 1) for pid, number, _ in self.rows if pid and number]
        told = [f"{pid} reads {printable(path_of(number))}" for pid, number in busy[:NAMED]]
        more = [f"{len(busy) - NAMED} others"] if len(busy) > NAMED else []
        idle = ", ".join(map(str, self._pids()))
        return ", ".join(told + more) or (f"{idle} do not answer" if idle else "not known")


def _wake(rows: np.ndarray) -> None:
    """Let workers that were stopped go on, since they would not end otherwise."""
    for pid in rows[:, 0].tolist():
        if pid and hasattr(signal, "SIGCONT"):
            with contextlib.suppress(OSError):  # it has ended
                os.kill(pid, signal.SIGCONT)


def time_limit() -> float:
    """Seconds without any progress after which to give up; 0 for never. Raises UserError."""
    text = os.environ.get(VARIABLE, "")
    try:
        limit = float(text) if text else USUAL_LIMIT
    except ValueError:
        limit = -1.0
    if not 0 <= limit < math.inf:
        raise UserError(f"{VARIABLE}={printable(text, 40)}: give seconds, or 0 for no limit")
    return limit
