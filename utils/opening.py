"""The first moment of a program, before it imports what takes seconds."""

from __future__ import annotations

import sys
from typing import Any

from utils.cli import CommandLine
from utils.endings import expect_signals
from utils.errors import run_main
from utils.heap import keep_freed_memory


def open_program(line: CommandLine[Any]) -> None:
    """Expect signals, and end at once for --help or a mistake that the flags show by themselves.

    The program's main() reads the same flags once more, since it may also be called from elsewhere.
    """
    expect_signals()
    given: list[dict[str, Any]] = []
    status = run_main(lambda argv: given.append(line.check(argv)))
    if not given:
        sys.exit(status)
    keep_freed_memory()
