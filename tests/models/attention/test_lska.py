"""LSKA: golden values, the reach of every kernel, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention.lska import LSKA
from tests.models.attention.golden import Golden, draws

GOLDEN = Golden("lska")


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(LSKA(32), "k7", size)


def test_golden_of_a_large_kernel() -> None:
    GOLDEN.check(LSKA(32, k_size=23), "k23", "7x13")


@pytest.mark.parametrize(
    ("k_size", "short", "long", "dilation"),
    [(7, 3, 3, 2), (11, 3, 5, 2), (23, 5, 7, 3), (35, 5, 11, 3), (41, 5, 13, 3), (53, 5, 17, 3)],
)
def test_reach(k_size: int, short: int, long: int, dilation: int) -> None:
    """The output at a position depends on exactly the rows and columns that the kernels span."""
    x = draws(1, 1, 2, 65, 65).requires_grad_()
    LSKA(2, k_size=k_size)(x)[..., 32, 32].sum().backward()
    assert x.grad is not None
    side = short // 2 + dilation * (long // 2)
    for dims in ((0, 1, 2), (0, 1, 3)):
        reached = x.grad.abs().sum(dims).nonzero()
        assert (int(reached.min()), int(reached.max())) == (32 - side, 32 + side)


@pytest.mark.parametrize(("k_size", "parameters"), [(7, 69_888), (23, 72_960)])
def test_parameters_at_256(k_size: int, parameters: int) -> None:
    with torch.device("meta"):
        module = LSKA(256, k_size=k_size)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


@pytest.mark.parametrize("k_size", [0, 5, 9, 7.0, "7", None, [7], 512])
def test_impossible_kernels(k_size: Any) -> None:
    with pytest.raises(ValueError, match=r"k_size=.*7, 11, 23"):
        LSKA(8, k_size=k_size)
