"""Signals as a request to stop, so that a run is saved before it ends.

Ctrl-C (SIGINT), SIGTERM and SIGHUP (the terminal was closed) ask for that. The exit status, 128
plus the signal's number, tells which signal it was.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

GRACE = 1.0  # seconds in which further signals are taken for the same request as the first
BROKEN_PIPE = 141  # 128 + SIGPIPE, the exit status of a program whose reader has ended


class StopRequested(BaseException):
    """Raised where stopping at once loses nothing; status is the exit status of the process."""

    # A BaseException, so that no `except Exception` on the way catches it.

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class StopSignal:
    """A context that turns SIGINT, SIGTERM and SIGHUP into a request to stop.

    check() raises StopRequested if a signal has arrived. Within `with anywhere():` it is raised as
    soon as one arrives. Within `with saving():` signals are only noted. A further signal raises
    KeyboardInterrupt at once, but not within GRACE seconds of the first, since torchrun and
    impatient fingers send several.

    Attributes:
        status: The exit status that was asked for; 0 if no signal has arrived.
        cause: Why, if it was not a signal; see request().
    """

    def __init__(self, pipes: bool = False) -> None:
        """Make the context; pipes says whether SIGPIPE is a request to stop, too."""
        self.status, self.cause = 0, ""
        self._numbers = [*_stopping_signals(), *([signal.SIGPIPE] if pipes and _HAS_PIPE else [])]
        self._asked_at = 0.0
        self._immediate = self._saving = False
        self._former: dict[int, object] = {}

    def __enter__(self) -> StopSignal:
        # Python allows handlers in the main thread only; elsewhere signals keep their meaning.
        if threading.current_thread() is threading.main_thread():
            for number in self._numbers:
                self._former[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def request(self, status: int, cause: str = "") -> None:
        """Note a request to stop, unless there is one; check() raises it."""
        if not self.status:
            self.status, self.cause, self._asked_at = status, cause, time.monotonic()

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        again = self.status != 0
        self.request(128 + number)
        # A broken pipe says nothing about the moment: the loop may be in the middle of a batch.
        if self._saving or number == BROKEN_PIPE - 128:
            return
        if self._immediate:
            self._immediate = False  # a second signal must not interrupt what the first one started
            raise StopRequested(self.status)
        if again and time.monotonic() - self._asked_at > GRACE:
            raise KeyboardInterrupt

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

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Within the block, signals are noted and interrupt nothing."""
        before, self._saving = self._saving, True
        try:
            yield
        finally:
            self._saving = before


_HAS_PIPE = hasattr(signal, "SIGPIPE")  # Windows has neither SIGPIPE nor SIGHUP


def _stopping_signals() -> list[signal.Signals]:
    """The signals that ask a program to stop. nohup lets programs ignore SIGHUP, which is kept."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers


def ignore_signals() -> None:
    """Ignore these signals while the interpreter shuts down, which nothing should interrupt."""
    for number in _stopping_signals():
        signal.signal(number, signal.SIG_IGN)


def signal_name(number: int) -> str:
    """The name of a signal; real-time signals have numbers only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
