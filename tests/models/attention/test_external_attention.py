"""ExternalAttention: golden values, the folded convolutions, its start, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.external_attention import ExternalAttention
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: ExternalAttention, x: Tensor) -> Tensor:
    """The formula once more, each convolution by itself, positions as a list."""
    core = module.mode == "core"
    keys, values = (
        (module.mk.weight, module.mv.weight)
        if core
        else (module.linear_0.weight[:, :, 0], module.linear_1.weight[:, :, 0])
    )
    tokens = (x if core else module.conv1(x)).flatten(2)
    share = torch.exp(keys @ tokens)
    share = share / share.sum(2, keepdim=True)
    share = share / (share.sum(1, keepdim=True) + (0 if core else 1e-9))
    found = (values @ share).reshape(x.shape)
    return found if core else torch.relu(module.conv2(found) + x)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("external").check(ExternalAttention(32), "official", size)


def test_golden_of_the_core() -> None:
    Golden("external").check(ExternalAttention(32, mode="core"), "ea", "7x13")


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"S": 3}, {"S": 5, "mode": "core"}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = ExternalAttention(6, **options).double()
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_memories_begin_as_one_and_are_two() -> None:
    module = ExternalAttention(8, S=4)
    assert torch.equal(module.linear_1.weight, module.linear_0.weight.transpose(0, 1))
    module.linear_0.weight.data.zero_()
    assert bool(module.linear_1.weight.any())


@pytest.mark.parametrize("mode", ["block", "core"])
def test_a_position_that_no_memory_attends_to(mode: str) -> None:
    """Its row sums are 0 in float32, which must not become a division by 0."""
    module, x = ExternalAttention(2, S=3, mode=mode), torch.zeros(1, 2, 1, 2)
    for value in module.parameters():
        value.data.fill_(1.0)
    x[..., 1] = 200.0
    x.requires_grad_()
    out = module.eval()(x)
    out.sum().backward()
    assert bool(out.isfinite().all())
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_lists_and_cost() -> None:
    assert read_list(ExternalAttention, [512], 512, int) == ({}, "")
    assert read_list(ExternalAttention, [512, 8], 512, int) == ({"S": 8}, "")
    counts = [
        sum(value.numel() for value in ExternalAttention(256, mode=mode).parameters())
        for mode in ("block", "core")
    ]
    assert counts == [164_608, 32_768]


@pytest.mark.parametrize("options", [{"S": 0}, {"S": 2.0}, {"mode": "ea"}, {"mode": None}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        ExternalAttention(8, **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_core_keeps_channels_last(dtype: torch.dtype) -> None:
    x = draws(5, 2, 16, 8, 8).to(dtype, memory_format=torch.channels_last)
    out = ExternalAttention(16, mode="core").to(dtype)(x)
    assert out.dtype == dtype
    assert out.is_contiguous(memory_format=torch.channels_last)
