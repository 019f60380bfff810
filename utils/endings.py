"""Signals that end a program, wherever they arrive: one line and the status that shells give them.

A program that has to save something first handles them itself meanwhile, by utils/signals.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from utils.output import say
from utils.signals import StopRequested

ENDINGS = {
    128 + 1: "stopped: the terminal was closed",
    128 + 2: "interrupted",
    128 + 15: "stopped by SIGTERM",
}


def expect_signals() -> None:
    """End at once if a signal comes before run_main() is reached, or after its end.

    Programs call it before their imports, which take seconds.
    """
    for number in _ending_signals():
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    # An exception raised within an import may be swallowed, or become an ImportError.
    say(ENDINGS[128 + number])
    os._exit(128 + number)


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Within the block, raise StopRequested wherever a signal arrives."""
    former = {number: signal.signal(number, _raise) for number in _ending_signals()}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _raise(number: int, _frame: FrameType | None) -> NoReturn:
    raise StopRequested(128 + number)


def _ending_signals() -> list[int]:
    """The signals that end a program, without those that nohup or a shell script let it ignore."""
    if threading.current_thread() is not threading.main_thread():
        return []  # Python allows handlers in the main thread only
    if os.environ.get("RANK", "0") != "0":
        # Other processes of torchrun keep the default, which ends them even while they wait for
        # their peers.
        return []
    names = ("SIGHUP", "SIGINT", "SIGTERM")  # Windows has no SIGHUP
    numbers = [int(getattr(signal, name)) for name in names if hasattr(signal, name)]
    return [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
