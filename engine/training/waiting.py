"""One line if training waits for images: for how long, and which flags would feed it faster."""

from __future__ import annotations

from collections.abc import Iterable

from data.dataset import BATCH
from data.loader import Loader
from data.workers import choose_workers
from engine.training.logbook import StepTiming

TOLERATED = 0.1  # share of an epoch


def waiting_line(timing: StepTiming, loader: Loader, device_type: str) -> str:
    """What to tell a user whose device waited for more than a tenth of the time; else "".

    Args:
        timing: The seconds of the first epoch.
        loader: The training loader.
        device_type: "cpu", "cuda", "mps" or "xpu".
    """
    share = timing.waited_share()
    if share <= TOLERATED:
        return ""
    waited = f"Training waited {share:.0%} of the first epoch for images"
    flags = _remedies(loader, device_type)
    return f"{waited}; faster: {', '.join(flags)}" if flags else waited


def print_waiting(timing: StepTiming, loader: Loader, device_type: str) -> None:
    """Print waiting_line() if there is something to tell."""
    line = waiting_line(timing, loader, device_type)
    if line:
        print(line)


def start_workers(loaders: Iterable[Loader | None]) -> None:
    """Start the worker processes of loaders, while this process is still small."""
    for loader in loaders:
        if loader is not None:
            loader.start()


def _remedies(loader: Loader, device_type: str) -> list[str]:
    """The flags that are not at their best value."""
    settings, workers = loader.dataset.settings, loader.options.workers
    most = choose_workers(None, device_type, settings.batch_size)
    flags = [f"--workers {most}"] if workers < most else []
    if loader.dataset.pixels.mode == "no":
        flags += ["--cache ram", "--cache disk"]
        if settings.mosaic_pool != BATCH and settings.hyp.mosaic and not settings.rect:
            flags.append("--mosaic-pool batch")
    return flags
