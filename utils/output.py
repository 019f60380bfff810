"""The output streams of a program: any text can be printed on them, and a lost one is noticed."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Protocol

from utils.text import REPLACEMENT, display_width, printable

# All but the colours of utils/terminal.py, which cannot hide or fake a line.
OBEYED = re.compile(
    r"\x1b(?!\[(?:1;34|0)m)"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
SAME_WIDTH = "same-width"  # the name of our rule for signs that a stream's encoding lacks


class Say(Protocol):
    """A function that shows a line of text."""

    def __call__(self, line: str, /) -> object: ...


class _Mouth:
    """The write() of a stream: it shows signs that a terminal would obey, and keeps its failure.

    Line breaks and tabulators stay, and so does the return of a progress bar.
    """

    def __init__(self, write: Callable[[str], int]) -> None:
        self._write = write
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self._write(OBEYED.sub(lambda found: printable(found[0]), text))
        except OSError as error:
            self.failure = error
            raise


def open_streams() -> None:
    """Let every text be printed on any terminal, line by line, and replace closed streams.

    Programs call it; code that others import leaves their streams alone.
    """
    # A file that is opened while descriptor 1 is free gets that number, and then also receives all
    # that a library prints.
    handle = os.open(os.devnull, os.O_RDWR)
    while handle <= 2:
        handle = os.dup(handle)
    os.close(handle)
    codecs.register_error(SAME_WIDTH, _replace)
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream, original in ((sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)):
        if isinstance(stream, io.TextIOWrapper):
            # Not twice: a program opens its streams before it reads its flags, and again in main.
            is_ours = isinstance(getattr(stream.write, "__self__", None), _Mouth)
            if stream is original and not is_ours:
                stream.write = _Mouth(stream.write).write  # type: ignore[method-assign]
            # Each line appears at once in `| tee log`, and a reader that has ended is noticed.
            stream.reconfigure(errors=SAME_WIDTH, line_buffering=True)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Signs that take as many columns as those that the encoding lacks, so that tables align."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    # UTF-8 lacks only halves of surrogate pairs; its encoder takes other signs as bytes.
    is_utf8 = error.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    sign: str | bytes = REPLACEMENT.encode() if is_utf8 else "?"
    return sign * display_width(error.object[error.start : error.end]), error.end


def lost_stream() -> tuple[str, OSError] | None:
    """The name of an output stream that could not be written, and why; None if both could."""
    for name, stream in (("standard output", sys.stdout), ("standard error", sys.stderr)):
        mouth = getattr(stream.write, "__self__", None)
        if isinstance(mouth, _Mouth) and mouth.failure is not None:
            return name, mouth.failure
        try:
            stream.flush()
        except OSError as error:
            return name, error
    return None


def say(line: str) -> None:
    """Print a line on stderr, or on stdout if stderr cannot take it, or nowhere."""
    for stream in (sys.stderr, sys.stdout):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            print(line, file=stream, flush=True)
            return


def print_anywhere(line: str) -> None:
    """Print a line with signs of other languages on a stream that a user of our code has chosen.

    A program has prepared its streams by open_streams(); another user's may lack some signs.
    """
    try:
        print(line)
    except UnicodeEncodeError as error:
        print(line.encode(error.encoding, errors="replace").decode(error.encoding))


def drop_output() -> None:
    """Discard what could not be written, so that Python does not report it as it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError, ValueError):
                handle = os.open(os.devnull, os.O_WRONLY)
                os.dup2(handle, stream.fileno())
                os.close(handle)
