"""Threads beside the main one: one that reads ahead of it, one that writes behind it, and a crew.

They keep the order of their items and hold a few of them at most. An error in a thread is raised in
the main one. All are daemons, so that one that is stuck in a driver does not delay the end of the
program. They wait on queue.SimpleQueue only: a signal may end its waits anywhere, while the locks
of queue.Queue, which are written in Python, could stay locked then.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
LONGEST_JOIN = 3.0  # seconds to wait for a thread whose result nobody wants


class Ending:
    """A context for the work of a thread, which keeps the error that ends its block."""

    error: BaseException | None = None
    reached = False

    def __enter__(self) -> Ending:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> bool:
        self.error, self.reached = error, True
        return True

    def check(self) -> None:
        """Raise the error, once."""
        error, self.error = self.error, None
        if error is not None:
            raise error


class Room:
    """Counts free places; take() waits for one."""

    def __init__(self, places: int) -> None:
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(places):
            self.give()

    def take(self) -> None:
        self._free.get()

    def give(self) -> None:
        self._free.put(None)


class ReadAhead(Generic[_Item]):
    """Iterates in a thread, which starts with the first item that is asked for.

    At most `depth` items wait. An error of the iteration is raised after the items before it.
    """

    def __init__(self, items: Iterable[_Item], depth: int) -> None:
        self._items, self._room = items, Room(depth - 1)
        # An item and whether it takes a place.
        self._ready: queue.SimpleQueue[tuple[_Item, bool] | Ending] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def insert(self, item: _Item) -> None:
        """Put an item before the one that is being read; for callbacks of the iteration."""
        self._ready.put((item, False))

    def __iter__(self) -> Iterator[_Item]:
        self._thread.start()
        while not isinstance(entry := self._ready.get(), Ending):
            if entry[1]:
                self._room.give()
            yield entry[0]
        entry.check()

    def close(self) -> None:
        """Let the thread end after the item that it is reading."""
        self._closed = True
        self._room.give()
        if self._thread.ident is not None:
            self._thread.join(LONGEST_JOIN)

    def _run(self) -> None:
        ending = Ending()
        # Given up here, so that a source whose frames nobody wants any more ends in this thread.
        items, self._items = self._items, ()
        with ending:
            for item in items:
                self._ready.put((item, True))
                self._room.take()  # before the next one is read, since it needs memory from then on
                if self._closed:
                    break
        self._ready.put(ending)


class WriteBehind(Generic[_Item]):
    """Calls `write` with each item in a thread, in order; at most `depth` items wait.

    An error of `write` is raised by the next call or by close(); later items are not written.
    """

    def __init__(self, write: Callable[[_Item], object], depth: int) -> None:
        self._write, self._room, self._ending = write, Room(depth), Ending()
        self._waiting: queue.SimpleQueue[tuple[_Item] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._thread.start()

    def __call__(self, item: _Item) -> bool:
        """Hand an item over as soon as there is room for it; returns True."""
        self._room.take()
        self._ending.check()
        self._waiting.put((item,))
        return True

    def close(self) -> None:
        """Wait until all items are written. Raises the error of the thread."""
        self._waiting.put(None)
        self._thread.join()
        self._ending.check()

    def _run(self) -> None:
        with self._ending:
            while (entry := self._waiting.get()) is not None:
                self._write(*entry)
                self._room.give()
        self._room.give()  # wakes a caller, which finds the error


class Crew(Generic[_Item, _Result]):
    """Threads that each call `work` with an item; the results come in the order of the items.

    `begin` is called first in each thread.
    """

    def __init__(
        self, count: int, work: Callable[[_Item], _Result], begin: Callable[[], object] = int
    ) -> None:
        self.count, self._work, self._begin = count, work, begin
        self._tasks: queue.SimpleQueue[tuple[_Item, queue.SimpleQueue[_Result | Ending]] | None]
        self._tasks, self._closed = queue.SimpleQueue(), False
        self._threads = [
            threading.Thread(target=self._run, name="worker", daemon=True) for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def results(self, items: Iterable[_Item]) -> Iterator[_Result]:
        """The result of each item, while the next ones are in work. Raises an error of `work`."""
        begun: deque[queue.SimpleQueue[_Result | Ending]] = deque()
        for item in items:
            begun.append(queue.SimpleQueue())
            self._tasks.put((item, begun[-1]))
            # One more than there are threads, so that none waits for the caller.
            if len(begun) > self.count:
                yield _result(begun.popleft())
        while begun:
            yield _result(begun.popleft())

    def close(self) -> None:
        """Let the threads end after the items that they have begun."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(LONGEST_JOIN)

    def _run(self) -> None:
        self._begin()
        while (task := self._tasks.get()) is not None and not self._closed:
            item, answer = task
            ending = Ending()
            with ending:
                answer.put(self._work(item))
            if ending.error is not None:
                answer.put(ending)


def _result(answer: queue.SimpleQueue[_Result | Ending]) -> _Result:
    result = answer.get()
    if isinstance(result, Ending):
        result.check()
        raise RuntimeError("a thread has ended without a result")
    return result
