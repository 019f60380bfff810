"""DeformableLKA against sums over the whole map, and its two ways of sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.deformable_lka import DeformableLKA, sample_taps
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def hat(places: Tensor, length: int) -> Tensor:
    """The share of each of `length` cells at places: 1 at its centre, 0 from the next on."""
    cells = torch.arange(length, dtype=places.dtype)
    return (1 - (places[..., None] - cells).abs()).clamp(min=0)


def deformed(module: Any, x: Tensor, dilation: int) -> Tensor:
    """A deformable convolution as sums of all cells, weighted by how near they are."""
    height, width = x.shape[2:]
    offsets, weight = module.offset_net(x), module.deform_conv.weight
    side = weight.shape[2]
    rows, columns = (torch.arange(n, dtype=x.dtype) for n in (height, width))
    total = torch.zeros_like(x)
    for tap in range(side**2):
        step = (tap // side - side // 2, tap % side - side // 2)
        down = rows[:, None] + step[0] * dilation + offsets[:, 2 * tap]
        across = columns + step[1] * dilation + offsets[:, 2 * tap + 1]
        near = torch.einsum("bchw,byxh,byxw->bcyx", x, hat(down, height), hat(across, width))
        total = total + near * weight[:, 0, tap // side, tap % side][:, None, None]
    return total


def listing(module: DeformableLKA, x: Tensor) -> Tensor:
    unit, u = module.spatial_gating_unit, module.proj_1(x)
    u = u * (1 + torch.erf(u / 2**0.5)) / 2
    z = deformed(unit.conv_spatial, deformed(unit.conv0, u, 1), 3)
    return x + module.proj_2(u * unit.conv1(z))


@LAYOUTS
def test_values_and_gradients(layout: torch.memory_format) -> None:
    module = DeformableLKA(3).double()
    with torch.no_grad():
        for value in module.parameters():
            value.mul_(3)  # offsets of several positions
    x = draws(5, 2, 3, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@pytest.mark.parametrize(("side", "dilation"), [(3, 1), (5, 2)])
def test_both_ways_of_sampling_agree(side: int, dilation: int) -> None:
    ops = pytest.importorskip("torchvision.ops")
    x, offsets, weight = (
        draws(seed, *shape).double().requires_grad_()
        for seed, shape in enumerate([(2, 4, 1, 6), (2, 2 * side**2, 1, 6), (4, 1, side, side)])
    )
    around = dilation * (side // 2)
    found = sample_taps(x, 2 * offsets, weight, dilation)
    expected = ops.deform_conv2d(x, 2 * offsets, weight, padding=around, dilation=dilation)
    torch.testing.assert_close(found, expected)
    gradients = [
        torch.autograd.grad(out.square().sum(), (x, offsets, weight)) for out in (found, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_names_lists_and_cost() -> None:
    assert isinstance(build_attention("deformable_LKA_Attention", 8), DeformableLKA)
    assert read_list(DeformableLKA, [256], 256, int) == ({}, "")
    assert sum(value.numel() for value in DeformableLKA(256).parameters()) == 1_765_780
