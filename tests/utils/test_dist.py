"""Alone, the group's functions are the identity; batches must divide."""

from __future__ import annotations

import pytest
import torch

from utils import dist
from utils.errors import UserError


def test_alone() -> None:
    world = dist.start()
    assert world == dist.World(0, 1, 0)
    assert world.is_main
    assert dist.any_true(world, True, torch.device("cpu"))
    assert not dist.any_true(world, False, torch.device("cpu"))
    assert dist.broadcast(world, "value") == "value"
    assert dist.device_of(world, torch.device("cpu")).type == "cpu"


def test_a_batch_that_does_not_divide_is_refused() -> None:
    assert dist.share_of_batch(dist.World(0, 4, 0), 16) == 4
    with pytest.raises(UserError, match="multiple of the 3"):
        dist.share_of_batch(dist.World(0, 3, 0), 16)
