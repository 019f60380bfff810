"""LKA: golden values, the formula as sums over taps, and the reach of the kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention.lka import LKA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("lka")


def taps(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """A depthwise or 1x1 convolution as a sum over its taps, each with a shifted copy of x."""
    assert conv.bias is not None
    height, width = x.shape[2:]
    if conv.kernel_size == (1, 1) and conv.groups == 1:
        weight = conv.weight[:, :, 0, 0]
        return torch.einsum("oc,bchw->bohw", weight, x) + conv.bias[None, :, None, None]
    rows, columns = (
        conv.dilation[0] * (conv.kernel_size[0] // 2),
        (conv.dilation[1] * (conv.kernel_size[1] // 2)),
    )
    padded = nn.functional.pad(x, (columns, columns, rows, rows))
    out = conv.bias[None, :, None, None].expand_as(x)
    for i in range(conv.kernel_size[0]):
        for j in range(conv.kernel_size[1]):
            top, left = i * conv.dilation[0], j * conv.dilation[1]
            window = padded[:, :, top : top + height, left : left + width]
            out = out + conv.weight[None, :, 0, i, j, None, None] * window
    return out


def listing(module: LKA, x: Tensor) -> Tensor:
    """The formula written down once more."""
    if module.wrapped:
        inner = taps(module.proj_1, x)
        inner = inner / 2 * (1 + torch.erf(inner / 2**0.5))
        return x + taps(module.proj_2, listing(module.spatial_gating_unit, inner))
    return x * taps(module.conv1, taps(module.conv_spatial, taps(module.conv0, x)))


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(LKA(32), "official", size)


def test_golden_of_the_wrapped_form() -> None:
    GOLDEN.check(LKA(32, wrapped=True), "attention", "7x13")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("wrapped", [False, True])
def test_gradients(wrapped: bool, memory_format: torch.memory_format) -> None:
    module = LKA(3, wrapped=wrapped).double()
    x = draws(5, 2, 3, 6, 11).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_reach() -> None:
    """5x5, then 7x7 at dilation 3: 11 positions to each side."""
    x = draws(1, 1, 2, 33, 33).requires_grad_()
    LKA(2)(x)[..., 16, 16].sum().backward()
    assert x.grad is not None
    for dims in ((0, 1, 2), (0, 1, 3)):
        reached = x.grad.abs().sum(dims).nonzero()
        assert (int(reached.min()), int(reached.max())) == (16 - 11, 16 + 11)


@pytest.mark.parametrize(("wrapped", "parameters"), [(False, 85_248), (True, 216_832)])
def test_parameters_at_256(wrapped: bool, parameters: int) -> None:
    with torch.device("meta"):
        module = LKA(256, wrapped=wrapped)
    assert sum(value.numel() for value in module.parameters()) == parameters


@pytest.mark.parametrize("value", [1, 0, None, "true", 32])
def test_impossible_values(value: Any) -> None:
    with pytest.raises(ValueError, match=r"wrapped=.*: must be true or false"):
        LKA(8, wrapped=value)
