"""Standard output and standard error of long runs, whose failure is a request to stop.

The reader of a pipe may end (`train.py | head -1`), a terminal may be closed, and the disk of a log
may be full. An exception at the next print() would end a run in the middle of a batch.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from utils.signals import BROKEN_PIPE

Listener = Callable[[int, str], None]


class GuardedStream:
    """A text stream whose first failed write is reported once; later text is discarded.

    Each line is written at once, so that a log shows it and a broken pipe is noticed.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name
        self.failure: tuple[int, str] | None = None  # exit status, cause
        self.listener: Listener | None = None

    def write(self, text: str) -> int:
        """Write text. A failure is reported to the listener."""
        try:
            self._stream.write(text)
            if "\n" in text:
                self._stream.flush()
        except OSError as error:
            self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream. A failure is reported to the listener."""
        try:
            self._stream.flush()
        except OSError as error:
            self._fail(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _fail(self, error: OSError) -> None:
        if self.failure is None:
            status = BROKEN_PIPE if error.errno in (errno.EPIPE, errno.EIO) else 2
            self.failure = (status, f"{self._name} cannot be written ({error.strerror})")
            _discard(self._stream)
            if self.listener is not None:
                self.listener(*self.failure)


def _discard(stream: TextIO) -> None:
    """Let a stream write to nowhere, also what its buffer still holds."""
    # Streams of tests and notebooks have no file.
    with contextlib.suppress(OSError, ValueError):
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, stream.fileno())
        os.close(handle)


@contextlib.contextmanager
def guarded_output(listener: Listener | None = None) -> Iterator[None]:
    """Within the block, failures of stdout and stderr raise nothing and reach the listener.

    A listener of an inner block also learns what failed before. It gets the exit status that is
    usual for the failure, and the cause in words.
    """
    before = sys.stdout, sys.stderr
    names = ("standard output", "standard error")
    streams = [
        stream
        if stream is None or isinstance(stream, GuardedStream)
        else GuardedStream(stream, name)
        for stream, name in zip(before, names, strict=True)
    ]
    sys.stdout, sys.stderr = streams
    for stream in streams:
        if isinstance(stream, GuardedStream):
            stream.listener = listener
            if listener is not None and stream.failure is not None:
                listener(*stream.failure)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def has_failed(stream: object) -> bool:
    """Whether a stream is closed or its writes have failed."""
    return stream is None or (isinstance(stream, GuardedStream) and stream.failure is not None)
