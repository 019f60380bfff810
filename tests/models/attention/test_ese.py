"""eSE: golden values, its gradients, the ends of its gate, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.ese import eSE
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: eSE, x: Tensor) -> Tensor:
    """The formula once more, with the layer as a matrix."""
    z = x.mean((2, 3))
    if module.add_maxpool:
        z = (z + x.amax((2, 3))) / 2
    t = z @ module.fc.weight[:, :, 0, 0].T + module.fc.bias  # type: ignore[operator]
    return x * (torch.clamp(t + 3, 0, 6) / 6)[:, :, None, None]


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("ese").check(eSE(32), "official", size)


@LAYOUTS
@pytest.mark.parametrize("add_maxpool", [False, True])
def test_values_and_gradients(add_maxpool: bool, layout: torch.memory_format) -> None:
    module = eSE(5, add_maxpool=add_maxpool).double()
    x = draws(5, 3, 5, 4, 6).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_a_gate_at_its_ends_passes_no_gradient_to_the_layer() -> None:
    module = eSE(1)
    module.fc.bias.data.fill_(4.0)  # type: ignore[union-attr]
    module.fc.weight.data.fill_(1.0)
    for value, gate in ((1.0, 1.0), (-8.0, 0.0)):
        module.zero_grad()
        out = module(torch.full((1, 1, 2, 2), value))
        assert torch.equal(out, torch.full((1, 1, 2, 2), gate * value))
        out.sum().backward()
        assert float(module.fc.weight.grad) == 0.0  # type: ignore[arg-type]


def test_names_lists_and_cost() -> None:
    assert isinstance(build_attention("EffectiveSEModule", 8, add_maxpool=True), eSE)
    assert read_list(eSE, [256], 256, int) == ({}, "")
    assert read_list(eSE, [256, True], 256, int) == ({"add_maxpool": True}, "")
    assert sum(value.numel() for value in eSE(256).parameters()) == 65_792


@pytest.mark.parametrize("value", [1, None, "max"])
def test_impossible_values(value: Any) -> None:
    with pytest.raises(ValueError, match="add_maxpool="):
        eSE(8, add_maxpool=value)
