"""CrissCross: golden values, a plain calculation, its reach, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.crisscross import CrissCross
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("crisscross")


def woken(channels: int, **options: Any) -> CrissCross:
    module = CrissCross(channels, **options)
    module.gamma.data.fill_(0.7)
    return module


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(CrissCross(32), "official", size)


def test_golden_of_two_passes() -> None:
    GOLDEN.check(CrissCross(32, recurrence=2), "recurrence2", "7x13")


def listing(module: CrissCross, x: Tensor) -> Tensor:
    """The formula position by position."""
    rows, columns = x.shape[2:]
    for _ in range(module.recurrence):
        q, k, v = (conv(x) for conv in (module.query_conv, module.key_conv, module.value_conv))
        out = torch.zeros_like(x)
        for i in range(rows):
            for j in range(columns):
                cross = [(i, other) for other in range(columns)]
                cross += [(other, j) for other in range(rows) if other != i]
                logits = [(q[:, :, i, j] * k[:, :, a, b]).sum(1) for a, b in cross]
                weights = torch.stack(logits).softmax(0)
                parts = [weights[n, :, None] * v[:, :, a, b] for n, (a, b) in enumerate(cross)]
                out[:, :, i, j] = torch.stack(parts).sum(0)
        x = module.gamma * out + x
    return x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "recurrence"), [(16, 1), (5, 2)])
def test_plain_calculation(layout: torch.memory_format, channels: int, recurrence: int) -> None:
    module = woken(channels, recurrence=recurrence).double()
    x = draws(1, 2, channels, 3, 4).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@pytest.mark.parametrize(("recurrence", "reached"), [(1, 5 + 6 - 1), (2, 5 * 6)])
def test_reach(recurrence: int, reached: int) -> None:
    """One pass sees the row and the column of a position, two see the whole map."""
    x = draws(1, 1, 8, 5, 6).requires_grad_()
    woken(8, recurrence=recurrence)(x)[..., 2, 3].sum().backward()
    assert x.grad is not None
    assert int((x.grad.abs().sum(1) > 0).sum()) == reached


def test_a_new_module_changes_nothing() -> None:
    x = draws(1, 2, 16, 5, 6)
    assert torch.equal(CrissCross(16, recurrence=2)(x), x)


def test_parameters_at_256() -> None:
    assert sum(parameter.numel() for parameter in CrissCross(256).parameters()) == 82_241


def test_lists_of_tutorials() -> None:
    assert read_list(CrissCross, [256], 256, int) == ({}, "")
    assert read_list(CrissCross, [2], 256, int) == ({"recurrence": 2}, "")


@pytest.mark.parametrize("recurrence", [0, -1, 1.0, "2", None, True])
def test_impossible_values(recurrence: Any) -> None:
    with pytest.raises(ValueError, match="recurrence="):
        CrissCross(8, recurrence=recurrence)
