"""Ctrl-C and SIGTERM as a request to stop, so that a run is saved before it ends.

The exit status, 128 plus the signal's number, tells which signal it was.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class StopRequested(BaseException):
    """Raised where stopping at once loses nothing; status is the exit status of the process."""

    # A BaseException, so that no `except Exception` on the way catches it.

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class StopSignal:
    """A context that turns SIGINT and SIGTERM into a request to stop.

    check() raises StopRequested if a signal has arrived. Within `with anywhere():` it is raised as
    soon as one arrives. A second signal raises KeyboardInterrupt at once.
    """

    def __init__(self) -> None:
        self.status = 0
        self._immediate = False
        self._former: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        # Python allows handlers in the main thread only; elsewhere signals keep their meaning.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        again, self.status = self.status != 0, 128 + number
        if again:
            raise KeyboardInterrupt
        if self._immediate:
            raise StopRequested(self.status)

    def check(self) -> None:
        """Raise StopRequested if a signal has arrived."""
        if self.status:
            raise StopRequested(self.status)

    @contextlib.contextmanager
    def anywhere(self) -> Iterator[None]:
        """Within the block, a signal raises StopRequested at once, and not at the next check()."""
        self.check()
        self._immediate = True
        try:
            yield
        finally:
            self._immediate = False
