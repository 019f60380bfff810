"""A batch on its way into the network: its values, and sizes that follow from the iteration."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from engine.training.colours import with_colours
from engine.training.inputs import change_scale, to_device
from utils.config import TrainConfig
from utils.structures import Batch


def batch() -> Batch:
    images = torch.tensor(np.random.default_rng(0).integers(0, 256, (2, 3, 64, 96), dtype=np.uint8))
    targets = torch.tensor([[0, 1, 8.0, 16, 48, 32], [1, 0, 0, 0, 96, 64]])
    return Batch(images, targets, (0, 1), ("a", "b"), ((64, 96),) * 2, ((1, 1),) * 2, ((0, 0),) * 2)


def run(seed: int = 0) -> SimpleNamespace:
    model = SimpleNamespace(head=SimpleNamespace(strides=(8.0, 16.0)))
    setup = SimpleNamespace(config=TrainConfig(imgsz=96, seed=seed))
    return SimpleNamespace(setup=setup, state=SimpleNamespace(model=model))


def test_images_become_shares_of_white_and_targets_stay():
    images, targets = to_device(batch(), torch.device("cpu"))
    assert images.dtype == torch.float32
    assert torch.equal((images * 255).round().byte(), batch().images)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(targets, batch().targets)


def test_colours_that_the_loader_left_are_changed_on_the_way():
    left = replace(batch(), hsv=torch.tensor([[1.0, 1.0, 0.5], [1.01, 1.4, 1.0]]))
    images, _ = to_device(left, torch.device("cpu"))
    torch.testing.assert_close(images[0], batch().images[0] / 510)
    drawn = with_colours(left)
    assert drawn.hsv is None
    assert torch.equal((images * 255).round().byte(), drawn.images)
    assert with_colours(drawn) is drawn


def test_a_scale_follows_from_seed_and_iteration_and_takes_the_targets_along():
    images, targets = to_device(batch(), torch.device("cpu"))
    sizes = []
    for iteration in range(12):
        scaled, moved = change_scale(images, targets, run(), iteration)
        again, _ = change_scale(images, targets, run(), iteration)
        assert torch.equal(scaled, again)
        height, width = scaled.shape[2:]
        assert height % 32 == width % 32 == 0
        assert moved[1].tolist() == pytest.approx([1, 0, 0, 0, width, height])
        assert moved[0, 2:].tolist() == pytest.approx(
            [8 * width / 96, 16 * height / 64, 48 * width / 96, 32 * height / 64]
        )
        sizes.append((height, width))
    assert len(set(sizes)) > 2
    others = [change_scale(images, targets, run(1), number)[0].shape[2:] for number in range(12)]
    assert [tuple(size) for size in others] != sizes
