"""Training notes images that it cannot read, and stops in order when they are too many."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from data.failures import LostImages
from data.workers import ReadingStopped
from engine.training import dist, lost
from engine.training.run import Progress


def _run(total: int, *paths: str) -> SimpleNamespace:
    images = LostImages(total)
    images.add([(path, "gone") for path in paths], 9, 16)
    setup = SimpleNamespace(
        loaders=(SimpleNamespace(lost=images), None),
        world=dist.World(),
        device=torch.device("cpu"),
    )
    state = SimpleNamespace(progress=Progress(epoch=3), model=torch.nn.Identity())
    return SimpleNamespace(setup=setup, state=state)


def test_lost_images_are_noted_once() -> None:
    run = _run(1000, "a.jpg", "b.jpg")
    lost.note_lost_images(run)
    lost.note_lost_images(run)
    assert run.state.progress.notes == [
        "2 training images could not be read (a.jpg: gone; b.jpg: gone); each was an empty grey"
        " image, first in epoch 3"
    ]


def test_too_many_lost_images_stop_all_processes() -> None:
    lost.stop_if_lost(_run(1000, "a.jpg").setup)
    with pytest.raises(ReadingStopped, match="2 of 100 images"):
        lost.stop_if_lost(_run(100, "a.jpg", "b.jpg").setup)
