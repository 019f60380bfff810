"""What to lower if the memory is too small for a run."""

from __future__ import annotations

from pathlib import Path

from engine.training.run import Run, Setup
from utils.errors import UserError, lack_of_memory
from utils.text import counted


class MemoryShortError(UserError):
    """The memory is too small for a run."""


def memory_error(
    run: Run, error: MemoryError | RuntimeError, in_batch: bool, is_saved: bool
) -> MemoryShortError:
    """An error of one line on a lack of memory: what does not fit, what to lower, and how to go on.

    Args:
        run: The run.
        error: What torch or Python raised.
        in_batch: Whether a batch was being trained; otherwise an epoch was being validated.
        is_saved: Whether last.pt holds the state that the run is in.
    """
    setup, progress = run.setup, run.state.progress
    share = setup.config.batch_size // setup.world.size if in_batch else 1
    what = f"to {'train' if in_batch else 'validate'} {counted(share, 'image')}"
    has_learnt = is_saved or (progress.epoch > 0 and setup.last.exists())
    return MemoryShortError(
        f"epoch {progress.epoch}, batch {progress.batch}: the memory of {setup.device} is too small"
        f" {what} of {setup.config.imgsz} pixels ({lack_of_memory(error)}); use"
        f" {' or '.join(what_to_lower(setup, share))};"
        f" {_way_on(setup.last) if has_learnt else 'no epoch was completed, so start again'}"
    )


def what_to_lower(setup: Setup, share: int) -> list[str]:
    """The flags that need less memory, the most useful first.

    Args:
        setup: The run's settings.
        share: Images that this process computes at once.
    """
    config = setup.config
    flags = [f"--batch-size {share // 2 * setup.world.size}"] if share > 1 else []
    flags.append("a smaller --imgsz")
    if config.multi_scale:
        flags.append("no --multi-scale (it needs up to 2.25 times the memory)")
    if setup.device.type == "cpu":  # whose memory also holds the images that are read
        flags += ["--cache no"] if config.cache in ("auto", "ram") else []
        flags += ["--workers 0"] if config.workers != 0 else []
    return flags


def _way_on(last: Path) -> str:
    """What can be done with the last good checkpoint. A resumed run keeps all its settings."""
    return (
        f"the last good checkpoint is {last}: --weights starts from it with other flags, --resume"
        " goes on with the same ones once other programs have left more memory"
    )
