"""Work on very many files by forked processes, which Python's lock does not hold up.

A forked process has the data set's paths already and starts in milliseconds. Part k is the work of
process k modulo their number, and each sends its results through its own pipe, so that they arrive
in order, and no process is further ahead than its pipe holds.
"""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Generic, NoReturn, TypeVar

import numpy as np

from data.scanning.patience import Patience
from data.scanning.threads import Work
from utils.errors import UserError

_Result = TypeVar("_Result")
END_SECONDS = 1.0  # that a killed process may take to end
SIGNALS = tuple(getattr(signal, name, signal.SIGINT) for name in ("SIGINT", "SIGHUP", "SIGTERM"))


class FileProcesses(Generic[_Result]):
    """As data.scanning.threads.FileThreads, with processes.

    results() also raises UserError if a process is ended from outside, such as for its memory.
    """

    def __init__(self, work: Work[_Result], paths: Sequence[str], chunk: int) -> None:
        self.work, self.paths, self.chunk = work, paths, chunk
        self.starts = range(0, len(paths), chunk)

    def results(self, processes: int) -> Iterator[_Result]:
        """The result of each part, computed by this many processes."""
        pipes = [Pipe(duplex=False) for _ in range(processes)]
        # What each reads, in memory that all share.
        current = np.frombuffer(mmap.mmap(-1, 8 * processes), np.int64)
        children: list[int] = []
        try:
            self._start(pipes, current, children)
            for _, sender in pipes:
                sender.close()
            for part in range(len(self.starts)):
                own = part % processes
                yield self._next(children[own], pipes[own][0], current, own)
        finally:
            for ends in pipes:
                for end in ends:
                    end.close()
            _end(children)

    def _start(
        self,
        pipes: Sequence[tuple[Connection, Connection]],
        current: np.ndarray,
        children: list[int],
    ) -> None:
        """Start a process for each pipe, and note its id in children."""
        # A signal that arrives meanwhile must neither run the main process's handler in a new one,
        # nor be raised here before the id is noted.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        collects = gc.isenabled()
        gc.disable()  # until _prepare()
        try:
            for own in range(len(pipes)):
                child = _fork()
                if not child:
                    _prepare()
                    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                    self._run(own, pipes, current)
                children.append(child)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if collects:
                gc.enable()

    def _run(
        self, own: int, pipes: Sequence[tuple[Connection, Connection]], current: np.ndarray
    ) -> NoReturn:
        """Do the parts of one process, and end it without what Python does at its end.

        That is the part of the main process, whose files and locks this one has copies of.
        """
        status = 1
        try:
            for number, (receiver, sender) in enumerate(pipes):
                receiver.close()
                if number != own:
                    sender.close()
            with contextlib.suppress(BrokenPipeError):  # the main process has ended
                self._serve(own, pipes, current)
            status = 0
        finally:
            if status:
                sys.excepthook(*sys.exc_info())
            os._exit(status)

    def _serve(
        self, own: int, pipes: Sequence[tuple[Connection, Connection]], current: np.ndarray
    ) -> None:
        """Send the result of every part of one process."""

        def begin(number: int) -> None:
            current[own] = number

        for start in self.starts[own :: len(pipes)]:
            numbers = range(start, min(start + self.chunk, len(self.paths)))
            pipes[own][1].send(self.work(numbers, begin))

    def _next(self, child: int, pipe: Connection, current: np.ndarray, own: int) -> _Result:
        """What a process gives next. Raises UserError if none goes on, or it was ended."""
        patience = Patience()
        while not pipe.poll(patience.poll):
            patience.look(current.tolist(), self.paths[current[own]])
        try:
            result: _Result = pipe.recv()
        except (EOFError, ConnectionError):
            raise _death(child) from None
        return result


def _fork() -> int:
    try:
        return os.fork()
    except OSError as error:
        raise UserError(
            f"no further process can be started ({error.strerror}); end other programs, or raise"
            " the limit (`ulimit -u`)"
        ) from None


def _prepare() -> None:
    """Leave signals to the main process, and what it has in memory as it is."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)
    # The collector would write to every object, and so copy all memory. What it would find may have
    # threads in the main process, such as a video that was left open, and wait for them for ever.
    gc.freeze()
    gc.enable()
    if "cv2" in sys.modules:
        sys.modules["cv2"].setNumThreads(0)  # its threads are not there in a forked process


def _death(child: int) -> UserError | RuntimeError:
    """The error for a process that has ended too early."""
    with contextlib.suppress(ChildProcessError):
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code < 0:
            name = signal.Signals(-code).name
            return UserError(
                f"a process that checks the images was ended by {name}: memory may be short; end"
                " other programs, and start again"
            )
    return RuntimeError("a process has failed, see above")


def _end(children: Sequence[int]) -> None:
    """End processes and remove what the system keeps of them, without waiting for ever."""
    left = list(children)
    for child in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while left and time.monotonic() < deadline:
        left = [child for child in left if not _has_ended(child)]
        time.sleep(0.001 if left else 0)


def _has_ended(child: int) -> bool:
    try:
        return os.waitpid(child, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
