"""How a run ends before its time: its state is saved if it can be, and one line says how to go on.

A state can be saved between two batches only. In the middle of one, part of the weights or of the
gradients belongs to the next state, and the last checkpoint is what is left.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from data.workers import ReadingStopped
from engine.parts import Parts
from engine.training.diagnose import NotFiniteError
from engine.training.dist import LOST_PEER, is_lost_peer
from engine.training.lost import note_lost_images
from engine.training.memory import memory_error
from engine.training.moments import Moments, Tell, tell_nobody
from engine.training.parallel import is_agreed
from engine.training.run import Run, save_last, snapshot
from models.own.adapter import modules_flag
from utils import checkpoint as checkpoints
from utils.errors import UserError, lacks_memory
from utils.output import say
from utils.signals import BROKEN_PIPE, StopRequested, StopSignal
from utils.streams import has_failed

# What writing a checkpoint or a chart raises; torch reports a full disk as RuntimeError.
WRITE_ERRORS = (UserError, OSError, RuntimeError)
KNOWN_ENDINGS = (*WRITE_ERRORS, MemoryError)
ONE_SHARE = (
    "a process ended while gradients were added up, so that one step of the optimizer follows the"
    " images of the main process alone"
)


class Keeper:
    """Saves a run, and knows whether its state is that between two batches.

    Attributes:
        run: The run.
        stop: The signals received so far.
        is_whole: Whether the state can be saved.
        parts: Runs validation batches in parts where the memory is too small for whole ones.
        moments: Tells the caller how far the run is.
    """

    def __init__(self, run: Run, stop: StopSignal, tell: Tell = tell_nobody) -> None:
        self.run, self.stop, self.is_whole = run, stop, True
        self.moments = Moments(run, tell)
        self.parts = Parts()

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """The block in which a batch changes the state; it stays torn if the block fails."""
        self.is_whole = False
        yield
        self.is_whole = True

    @contextlib.contextmanager
    def anywhere(self) -> Iterator[None]:
        """In the block a signal stops the run at once; only the main process is worth waiting for.

        The others would leave the main process waiting for them.
        """
        if not self.run.setup.world.is_main:
            yield
            return
        with self.stop.anywhere():
            yield

    def save(self) -> None:
        """Write last.pt, which no signal interrupts."""
        with self.stop.saving():
            save_last(self.run)

    def save_period(self) -> None:
        """Write a separate whole checkpoint of the epoch just ended, every --save-period epochs."""
        setup = self.run.setup
        epoch, period = self.run.state.progress.epoch - 1, setup.config.save_period
        if period > 0 and epoch % period == 0 and setup.world.is_main:
            with self.stop.saving():
                path = setup.folder / "weights" / f"epoch{epoch}.pt"
                checkpoints.save(snapshot(self.run), path)

    def save_if_whole(self) -> bool:
        """Write last.pt if the state can be saved and the disk takes it; return whether it did."""
        if not (self.is_whole and self.run.setup.world.is_main):
            return False
        if not is_agreed(self.run):
            self.run.state.progress.add_note(ONE_SHARE)
        try:
            self.save()
        except WRITE_ERRORS:
            return False
        return True

    def how_to_go_on(self, is_saved: bool) -> str:
        """Which checkpoint there is, and the command that continues from it."""
        last, progress = self.run.setup.last, self.run.state.progress
        command = (
            f"continue with: python train.py --resume {shlex.quote(str(last))}"
            f"{modules_flag(self.run.state.model)}"
        )
        if is_saved:
            return f"stopped in epoch {progress.epoch}, batch {progress.batch}; {command}"
        if not last.exists():
            return f"stopped in epoch {progress.epoch}; no checkpoint was written, so start again"
        return f"stopped in epoch {progress.epoch}; {last} is the last good checkpoint; {command}"


@contextlib.contextmanager
def safe_ending(keeper: Keeper) -> Iterator[None]:
    """Run the block, in which a run is trained, and save the run if it ends before its time.

    Raises:
        SystemExit: A signal or a closed output ended the run; the status is the usual one.
        UserError: Anything else that is no bug: a full disk or memory, a worker or a process that
            died.
    """
    stop, world = keeper.stop, keeper.run.setup.world
    try:
        yield
    except (StopRequested, KeyboardInterrupt) as request:
        with stop.saving():
            is_saved = keeper.save_if_whole()
            status = request.status if isinstance(request, StopRequested) else stop.status or 130
            line = keeper.how_to_go_on(is_saved)
            _end(stop, status, line, world.is_main)
    except NotFiniteError:  # such a state is never saved, and the error says what to do
        raise
    except KNOWN_ENDINGS as error:
        if isinstance(error, (MemoryError, RuntimeError)) and lacks_memory(error):
            is_saved = keeper.save_if_whole()
            raise memory_error(keeper.run, error, not keeper.is_whole, is_saved) from None
        if isinstance(error, RuntimeError) and not is_lost_peer(error):
            raise
        if is_lost_peer(error) and not world.is_main:
            say("")  # the main process may have been killed within its progress bar
        if is_lost_peer(error) and stop.status:
            # Either the peer has got the same signal, or torchrun has sent it since the peer died;
            # so one of two says it, whichever process that was.
            line = f"{LOST_PEER}; {keeper.how_to_go_on(keeper.save_if_whole())}"
            if world.rank <= 1:
                say(line)
            sys.exit(stop.status)
        cause = _one_line(error)
        if isinstance(error, ReadingStopped):
            note_lost_images(keeper.run, together=False)
        raise UserError(f"{cause}; {keeper.how_to_go_on(keeper.save_if_whole())}") from None


def end_unread(keeper: Keeper) -> None:
    """End a run that is finished, if an output failed meanwhile, so that its end was not read.

    Raises SystemExit or UserError as safe_ending() does.
    """
    stop = keeper.stop
    if stop.cause or stop.status == BROKEN_PIPE:
        line = f"the run is finished, its results are in {keeper.run.setup.folder}"
        _end(stop, stop.status, line, keeper.run.setup.world.is_main)


def _end(stop: StopSignal, status: int, line: str, is_main: bool) -> NoReturn:
    """End the program with a line and an exit status.

    Args:
        stop: Says why, if it was not a signal.
        status: The exit status.
        line: What the user must know; the main process prints it.
        is_main: Whether this is the main process.
    """
    line = f"{stop.cause}; {line}" if stop.cause else line
    if stop.cause and status == 2:
        if has_failed(sys.stderr):  # where an error is printed
            say_where_possible(f"error: {line}")
        raise UserError(line) from None
    if is_main:
        say_where_possible(f"\n{line}")
    sys.exit(status)


def _one_line(error: BaseException) -> str:
    if is_lost_peer(error):
        return LOST_PEER
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}cannot be written ({error.strerror})"
    return str(error)


@contextlib.contextmanager
def quiet_writers() -> Iterator[None]:
    """In the block, threads that cannot write print no traceback.

    TensorBoard writes in a thread, and the main one gets its error at the next call.
    """
    former = threading.excepthook

    def report(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            former(arguments)

    threading.excepthook = report
    try:
        yield
    finally:
        threading.excepthook = former


def say_where_possible(line: str) -> None:
    """Print a line to stdout, to stderr if stdout has failed, else nowhere."""
    if not has_failed(sys.stdout):
        print(line)
    if has_failed(sys.stdout) and not has_failed(sys.stderr):
        print(line.strip(), file=sys.stderr)
