"""LSK: golden values, and what the two fields of view reach."""

from __future__ import annotations

import pytest
import torch

from models.attention.lsk import LSK
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("lsk").check(LSK(32), "official", size)


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_odd_numbers_of_channels(channels: int) -> None:
    x = draws(1, 2, channels, 5, 4).requires_grad_()
    module = LSK(channels)
    module(x).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in module.parameters()
    )


def test_reach_of_the_larger_field() -> None:
    """5x5, then 7x7 at dilation 3: 11 positions to each side; the 7x7 choice makes that 14."""
    x = draws(1, 1, 2, 33, 33).requires_grad_()
    LSK(2)(x)[..., 16, 16].sum().backward()
    assert x.grad is not None
    reached = x.grad.abs().sum((0, 1, 2)).nonzero()
    assert (int(reached.min()), int(reached.max())) == (16 - 14, 16 + 14)


def test_parameters_at_256() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in LSK(256).parameters()) == 118_470
