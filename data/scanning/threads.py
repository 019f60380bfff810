"""Work on many files by threads that end with the process, even if one waits for a file for ever.

The threads of the standard library's pool are joined when the process ends, so that a share which
does not answer would hold it, and Ctrl-C with it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Generic, TypeVar

from data.scanning.patience import Patience

_Result = TypeVar("_Result")
Work = Callable[[range, Callable[[int], None]], _Result]


class FileThreads(Generic[_Result]):
    """Calls work(numbers, begin) for every part of `chunk` paths by daemon threads.

    work() calls begin(number) before it opens a file. results() yields what it returns for each
    part, in order. It raises UserError with the file's name if no file is finished for as long as
    data/watchdog.py allows.
    """

    def __init__(self, work: Work[_Result], paths: Sequence[str], chunk: int) -> None:
        self.work, self.paths, self.chunk = work, paths, chunk
        self.starts = range(0, len(paths), chunk)
        self._waiting = iter(self.starts)
        self._lock = threading.Lock()
        self._current: dict[int, int] = {}  # start of a part -> number of the file in work
        self._results: queue.SimpleQueue[tuple[int, _Result] | None] = queue.SimpleQueue()

    def results(self, threads: int) -> Iterator[_Result]:
        """The result of each part, computed by this many threads."""
        for _ in range(threads):
            threading.Thread(target=self._run, daemon=True).start()
        done: dict[int, _Result] = {}
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
                begin = partial(self._current.__setitem__, start)
                self._results.put((start, self.work(numbers, begin)))
        finally:
            self._results.put(None)

    def _take(self) -> int | None:
        with self._lock:
            return next(self._waiting, None)

    def _next(self, start: int) -> tuple[int, _Result] | None:
        """What a thread gives next. Raises UserError if none goes on."""
        patience = Patience()
        while True:
            try:
                return self._results.get(timeout=patience.poll)
            except queue.Empty:
                now = dict(self._current)
                patience.look(now, self.paths[now.get(start, start)])
