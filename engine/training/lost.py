"""What training does about images that it cannot read: notes, and an orderly stop."""

from __future__ import annotations

from data.failures import lost_sentence
from data.workers import ReadingStopped
from engine.training import dist
from engine.training.run import Run, Setup

CONSEQUENCE = "each was an empty grey image, first in epoch {}"


def note_lost_images(run: Run, *, together: bool = True) -> None:
    """Note the training images that could not be read for the first time in this epoch.

    Args:
        run: The run, whose progress keeps the note.
        together: Collect them from all processes, which must all call this.
    """
    world, progress = run.setup.world, run.state.progress
    own = run.setup.loaders[0].lost.take_new()
    parts = dist.gather(world, own) if together else [own]
    reasons = {path: reason for part in parts for path, reason in part.items()}
    if reasons:
        consequence = CONSEQUENCE.format(progress.epoch)
        progress.add_note(lost_sentence("training images", reasons, consequence))


def stop_if_lost(setup: Setup) -> None:
    """Raise ReadingStopped in every process if too many images are missing in any of them."""
    lost = setup.loaders[0].lost
    if dist.any_true(setup.world, lost.too_many, setup.device):
        raise ReadingStopped(lost.stop_reason())
