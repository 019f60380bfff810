"""Worker processes of the loader: their number, how they start, and how they end.

data/loader.py starts them through torch's DataLoader.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Protocol, TypeVar, cast

from torch.utils.data import get_worker_info

from data.watchdog import WorkerWatch
from utils.errors import UserError
from utils.machine import processes_here, usable_cores

_T = TypeVar("_T")
DEATH_REPORT = 1.0  # seconds that the system may take to report the death of a worker


def choose_workers(requested: int | None, device_type: str, batch_size: int) -> int:
    """Choose the number of worker processes.

    Args:
        requested: The most that the user wants; None leaves the choice to the device.
        device_type: "cpu", "cuda", "mps" or "xpu", the device of the network.
        batch_size: Images per batch.

    Returns:
        At most requested, the cores of this process, and the images of a batch; 0 for batches of
        one image.
    """
    cores = max(usable_cores() // processes_here(), 1)
    if requested is None:
        # On a CPU the network needs the cores itself. One worker per four cores decodes while some
        # are idle, and more workers would only slow the network down.
        requested = max(cores // 4, 1) if device_type == "cpu" else cores
    return min(requested, cores, batch_size if batch_size > 1 else 0)


class Watched(Protocol):
    """A data set that says what it reads, for data/watchdog.py."""

    def join(self, worker: int) -> None:
        """Begin to say it, as the worker with this number."""


class ReadingStopped(UserError):
    """The images cannot be read on; what was computed before is whole, and can be saved."""


class DeathNote:
    """A handler of SIGCHLD that notes which worker process died, and of what.

    torch's own handler raises an error wherever the main process happens to be, such as in the
    middle of an optimizer step. This one keeps the error until the next batch is asked for.
    """

    def __init__(self, handler: Callable[[int, FrameType | None], object]) -> None:
        self.cause = ""
        self._handler = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        try:
            self._handler(number, frame)
        except RuntimeError as error:
            self.cause = self.cause or _first_line(error)


def note_deaths() -> None:
    """Let a DeathNote take the place of torch's handler; call it after workers were started."""
    if not hasattr(signal, "SIGCHLD"):  # Windows
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and not isinstance(handler, DeathNote):
        with contextlib.suppress(ValueError):  # in another thread than the main one
            signal.signal(signal.SIGCHLD, DeathNote(handler))


def forget_deaths() -> None:
    """Forget deaths that were noted before; they were those of another loader's workers."""
    _noted_death()


def _noted_death(wait: float = 0.0) -> str:
    """What a DeathNote holds, at most `wait` seconds from now; it is empty afterwards."""
    handler = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if not isinstance(handler, DeathNote):
        return ""
    deadline = time.monotonic() + wait
    while not handler.cause and time.monotonic() < deadline:
        time.sleep(0.01)  # a connection may break before the system reports the death
    cause, handler.cause = handler.cause, ""
    return cause


def next_or_none(batches: Iterator[_T], watch: WorkerWatch | None = None) -> _T | None:
    """The next batch, None at the end. Raises ReadingStopped if a worker process has died.

    Args:
        batches: The iterator of torch's DataLoader.
        watch: What ends workers that hang, and says why.
    """
    try:
        batch = next(batches, None)
        cause = _noted_death()
        if not cause:
            return batch
    except (ConnectionError, EOFError, FileNotFoundError):  # it ended while sending a batch
        cause = _noted_death(DEATH_REPORT) or "a DataLoader worker ended"
    except (MemoryError, OSError) as error:
        cause = f"a batch could not be read ({_last_line(error) or type(error).__name__})"
    except _WORKER_ERRORS as error:
        if "DataLoader worker" not in str(error):
            raise
        cause = _noted_death() or _worker_error(error)
    if watch and watch.verdict:
        raise ReadingStopped(watch.verdict)
    raise ReadingStopped(
        f"{cause}: memory may be short; try --workers 0, a smaller --batch-size or --cache no"
    )


# What code that reads images can raise; torch raises it again in the main process, with a text that
# names the worker.
_WORKER_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
)


def _worker_error(error: BaseException) -> str:
    """One line on an error of a worker: the worker's number, the error's kind and its text."""
    first = _first_line(error)
    if not first.startswith("Caught "):
        return first
    return f"{first.removeprefix('Caught ')} raised {_last_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].strip().rstrip(".")


def _last_line(error: BaseException) -> str:
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), "").strip()


def start_method() -> str:
    """How torch makes worker processes: "fork" or "spawn"."""
    # Forked workers share the cache of images, but only on Linux is forking safe.
    return "fork" if sys.platform == "linux" else "spawn"


def limit_opencv() -> None:
    """Let OpenCV use one thread per process.

    Small images gain nothing from more, and the network needs the cores.
    """
    import cv2

    cv2.setNumThreads(0)


@contextlib.contextmanager
def starting_workers() -> Iterator[None]:
    """Within the block, in which workers start, delay Ctrl-C and garbage collection.

    A worker cannot ignore Ctrl-C before start_worker(). What is garbage in the main process, such
    as a video that a failed call has left open, must not be collected in a forked worker: its
    threads are not there, and who waits for them waits for ever.
    """
    collects = gc.isenabled()
    gc.disable()
    can_block = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if can_block else set()
    try:
        yield
    finally:
        if can_block:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if collects:
            gc.enable()


def start_worker(worker: int) -> None:
    """Prepare a worker process; torch calls this in each, with its number.

    The worker leaves the process group of the terminal, so that only the main process gets Ctrl-C
    and SIGTERM, and decides which processes to end. If the main process dies, torch's watchdog ends
    the worker.
    """
    gc.freeze()  # what the main process has left is never collected here; see starting_workers()
    gc.enable()
    limit_opencv()
    sys.excepthook = _report_error
    if hasattr(os, "setsid"):
        os.setsid()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    info = get_worker_info()
    if info is not None:
        cast(Watched, info.dataset).join(worker)


def _report_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The sys.excepthook of worker processes, silent about a broken connection.

    An interrupted main process breaks it while it receives a batch, which no user needs to know.
    """
    if not issubclass(kind, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)
