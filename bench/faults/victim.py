"""Faults at exact instants of a program, such as SIGKILL before its seventh rename.

    python -m bench.faults.victim --at os.replace:7:before --send KILL -- --cfg …

runs train.py with the flags behind `--`, and sends itself the signal at that instant.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import train
from utils.errors import run_main

WRITES = ("os.fsync", "os.replace", "os.link")


@dataclass(frozen=True)
class Instant:
    """An instant of a program.

    Attributes:
        function: Dotted name of a function that is looked up at each call, such as os.replace.
        call: The number of the call, counted from 1.
        phase: "before" or "after" it; "half", for os.fsync, when half of the file is written.
    """

    function: str
    call: int
    phase: str = "before"

    @classmethod
    def parse(cls, text: str) -> Instant:
        """Read FUNCTION:CALL or FUNCTION:CALL:PHASE."""
        function, call, *phase = text.split(":")
        return cls(function, int(call), *phase)

    def __str__(self) -> str:
        return f"{self.phase} call {self.call} of {self.function}"


def arm(instant: Instant, act: Callable[[], object]) -> None:
    """Let this process call act() at an instant from now on."""
    calls = 0

    def before(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == instant.call and instant.phase == "half":
            with suppress(OSError):  # of a folder
                os.truncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
        if calls == instant.call and instant.phase != "after":
            act()

    def after() -> None:
        if calls == instant.call and instant.phase == "after":
            act()

    _wrap(instant.function, before, after)


def _wrap(name: str, before: Callable[..., None], after: Callable[[], None]) -> None:
    """Replace a function by one that also calls these two."""
    module, _, attribute = name.rpartition(".")
    holder = importlib.import_module(module)
    real = getattr(holder, attribute)

    @functools.wraps(real)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        before(*arguments)
        result = real(*arguments, **options)
        after()
        return result

    setattr(holder, attribute, wrapped)


def count_calls(functions: tuple[str, ...], record: Path) -> None:
    """Let this process append a line with its name to a file at each call of these functions."""

    def note(name: str) -> None:
        with open(record, "a", encoding="utf-8") as file:
            file.write(f"{name}\n")

    for name in functions:
        _wrap(name, lambda *_, name=name: note(name), lambda: None)


def strike_self(name: str, how: str = "once") -> None:
    """Send this process a signal; PIPE takes the reader of its standard output away instead.

    Args:
        name: The signal's name without SIG.
        how: "once"; "twice" within 2 ms; to the process "group", as a terminal does. "twice" PIPE
            takes the reader of standard error away, too.
    """
    if name == "PIPE":
        for number in (1, 2) if how == "twice" else (1,):
            close_reader(number)
        return
    number = signal.Signals[f"SIG{name}"]
    if how == "group":
        os.killpg(0, number)
        return
    os.kill(os.getpid(), number)
    if how == "twice":
        time.sleep(0.001)
        os.kill(os.getpid(), number)


def close_reader(descriptor: int) -> None:
    """Make an output of this process a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, descriptor)
    os.close(writer)


def main(argv: list[str] | None = None) -> int:
    """Arm an instant and train."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--at", type=Instant.parse, required=True)
    parser.add_argument("--send", default="KILL")
    parser.add_argument("--how", default="once", choices=("once", "twice", "group"))
    parser.add_argument("--count", nargs=2, metavar=("FUNCTION", "FILE"), help="record its calls")
    parser.add_argument("words", nargs="*")
    flags = parser.parse_args(argv)
    arm(flags.at, partial(strike_self, flags.send, flags.how))
    if flags.count:
        count_calls((flags.count[0],), Path(flags.count[1]))
    return run_main(train.main, flags.words)


if __name__ == "__main__":
    sys.exit(main())
