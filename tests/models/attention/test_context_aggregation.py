"""ContextAggregation against a sum over all positions, and its start as the identity."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.context_aggregation import ContextAggregation
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: ContextAggregation, x: Tensor) -> Tensor:
    """The formula once more, with v at every position."""
    layers = [getattr(module, name).conv for name in "akvm"]
    a, k, v, m = (
        lambda z, layer=layer: (
            torch.einsum("oc,bcn->bon", layer.weight[:, :, 0, 0], z) + layer.bias[:, None]
        )
        for layer in layers
    )
    flat = x.flatten(2)
    powers = k(flat).exp()
    summary = (v(flat) * powers).sum(2, keepdim=True) / powers.sum(2, keepdim=True)
    return x + (m(summary) * a(flat).sigmoid()).reshape(x.shape)


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"reduction": 3}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = ContextAggregation(6, **options).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.3 * torch.randn_like(value))
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_it_starts_as_the_identity() -> None:
    x = draws(5, 2, 8, 3, 4)
    assert torch.equal(ContextAggregation(8)(x), x)


def test_lists_and_cost() -> None:
    assert read_list(ContextAggregation, [], 256, int) == ({}, "")
    assert read_list(ContextAggregation, [256, 2], 256, int) == ({"reduction": 2}, "")
    assert sum(value.numel() for value in ContextAggregation(256).parameters()) == 132_098
    assert ContextAggregation(4, reduction=16).v.conv.out_channels == 1
    with pytest.raises(ValueError, match=r"reduction=1\.5"):
        ContextAggregation(8, reduction=1.5)  # type: ignore[arg-type]
