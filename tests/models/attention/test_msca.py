"""MSCA: golden values, the formula with whole kernels, and the reach of the strips."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.msca import MSCA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("msca")


def listing(module: MSCA, x: Tensor) -> Tensor:
    """The formula written down once more: a pair of strips has one k x k kernel, their product.

    A bias of the first strip counts in those rows that are inside the map.
    """
    conv2d = nn.functional.conv2d
    if module.wrapped:
        inner = conv2d(x, module.proj_1.weight, module.proj_1.bias)
        inner = inner / 2 * (1 + torch.erf(inner / 2**0.5))
        out = listing(module.spatial_gating_unit, inner)
        return x + conv2d(out, module.proj_2.weight, module.proj_2.bias)
    channels = x.shape[1]
    z = conv2d(x, module.conv0.weight, module.conv0.bias, padding=2, groups=channels)
    a = z
    for along, down in (
        (module.conv0_1, module.conv0_2),
        (module.conv1_1, module.conv1_2),
        (module.conv2_1, module.conv2_2),
    ):
        assert along.bias is not None
        kernel, side = down.weight * along.weight, down.weight.shape[2] // 2
        a = a + conv2d(z, kernel, down.bias, padding=side, groups=channels)
        ones = torch.ones_like(z) * along.bias[:, None, None]
        a = a + conv2d(ones, down.weight, None, padding=(side, 0), groups=channels)
    return x * conv2d(a, module.conv3.weight, module.conv3.bias)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(MSCA(32), "official", size)


def test_golden_of_the_wrapped_form() -> None:
    GOLDEN.check(MSCA(32, wrapped=True), "spatial_attention", "7x13")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("wrapped", [False, True])
def test_gradients(wrapped: bool, memory_format: torch.memory_format) -> None:
    module = MSCA(3, wrapped=wrapped).double()
    x = draws(5, 2, 3, 6, 11).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_reach() -> None:
    """5x5, then strips of 21: 12 positions to each side."""
    x = draws(1, 1, 2, 33, 33).requires_grad_()
    MSCA(2)(x)[..., 16, 16].sum().backward()
    assert x.grad is not None
    for dims in ((0, 1, 2), (0, 1, 3)):
        reached = x.grad.abs().sum(dims).nonzero()
        assert (int(reached.min()), int(reached.max())) == (16 - 12, 16 + 12)


@pytest.mark.parametrize(("wrapped", "parameters"), [(False, 93_952), (True, 225_536)])
def test_parameters_at_256(wrapped: bool, parameters: int) -> None:
    with torch.device("meta"):
        module = MSCA(256, wrapped=wrapped)
    assert sum(value.numel() for value in module.parameters()) == parameters


def test_groups_of_another_module_are_refused() -> None:
    arguments, _ = read_list(MSCA, [256, 32], 256, int)
    with pytest.raises(ValueError, match="wrapped=32: must be true or false"):
        MSCA(256, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1, 0, None, "true"])
def test_impossible_values(value: Any) -> None:
    with pytest.raises(ValueError, match=r"wrapped=.*: must be true or false"):
        MSCA(8, wrapped=value)
