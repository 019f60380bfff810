"""Run a person's code, and put what goes wrong in it into words.

An exception of a person's own file is a mistake that the person can fix, whatever its type. So it
becomes one line with the number of the line in that file, instead of a traceback through ours.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

LONGEST = 200  # characters of an exception's message that are shown


class Attempt:
    """A block that runs a person's code: `error` is the exception that ended it, or None.

    A file that calls sys.exit() must not end the program silently, so SystemExit is kept too.
    Ctrl-C and signals pass.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self.error = error if isinstance(error, (Exception, SystemExit)) else None
        return self.error is not None


def in_words(error: BaseException, path: Path) -> str:
    """The type and message of an exception, and the line of the person's file that it is from."""
    message = " ".join(str(error).split())[:LONGEST]
    line = line_of(error, path)
    where = f" (line {line})" if line else ""
    return f"{type(error).__name__}{': ' if message else ''}{message}{where}"


def line_of(error: BaseException, path: Path) -> int:
    """The last line of the file that an exception passed through; 0 if it passed through none."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return error.lineno or 0
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno or 0 for frame in frames if frame.filename == str(path)]
    return lines[-1] if lines else 0
