"""Work on many files by threads that end with the process, even if one waits for a file for ever.

The threads of the standard library's pool are joined when the process ends, so that a share which
does not answer would hold it, and Ctrl-C with it.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from data.watchdog import POLL, VARIABLE, time_limit
from utils.errors import UserError
from utils.text import printable

_Result = TypeVar("_Result")
Work = Callable[[int, str], _Result]


class FileThreads(Generic[_Result]):
    """Calls work(number, path) for every path by daemon threads, in parts of `chunk` paths.

    results() yields those of each part, in order. It raises UserError with the file's name if
    no file is finished for as long as data/watchdog.py allows.
    """

    def __init__(self, work: Work[_Result], paths: Sequence[str], chunk: int) -> None:
        self.work, self.paths, self.chunk = work, paths, chunk
        self.starts = range(0, len(paths), chunk)
        self._waiting = iter(self.starts)
        self._lock = threading.Lock()
        self._current: dict[int, int] = {}  # start of a part -> number of the file in work
        self._results: queue.SimpleQueue[tuple[int, list[_Result]] | None] = queue.SimpleQueue()

    def results(self, threads: int) -> Iterator[list[_Result]]:
        """The results of each part, computed by this many threads."""
        for _ in range(threads):
            threading.Thread(target=self._run, daemon=True).start()
        done: dict[int, list[_Result]] = {}
        ended = 0
        try:
            for start in self.starts:
                while start not in done:
                    if ended == threads:
                        raise RuntimeError("a thread has failed, see above")
                    entry = self._next(start)
                    if entry is None:
                        ended += 1
                    else:
                        done[entry[0]] = entry[1]
                yield done.pop(start)
        finally:
            with self._lock:  # no thread begins another part
                self._waiting = iter(range(0))

    def _run(self) -> None:
        try:
            while (start := self._take()) is not None:
                numbers = range(start, min(start + self.chunk, len(self.paths)))
                self._results.put((start, [self._do(start, number) for number in numbers]))
        finally:
            self._results.put(None)

    def _take(self) -> int | None:
        with self._lock:
            return next(self._waiting, None)

    def _do(self, start: int, number: int) -> _Result:
        self._current[start] = number
        return self.work(number, self.paths[number])

    def _next(self, start: int) -> tuple[int, list[_Result]] | None:
        """What a thread gives next. Raises UserError if none goes on."""
        limit = time_limit()
        poll = min(POLL, limit) if limit else POLL
        polls, seen = 0, dict[int, int]()
        while True:
            try:
                return self._results.get(timeout=poll)
            except queue.Empty:
                now = dict(self._current)
                polls, seen = polls + 1 if now == seen else 0, now
            if polls >= (math.ceil(limit / poll) if limit else math.inf):
                file = printable(self.paths[self._current.get(start, start)])
                raise UserError(
                    f"{file}: was waited for {limit:g} seconds; check the disk or network share, or"
                    f" set {VARIABLE}"
                )
