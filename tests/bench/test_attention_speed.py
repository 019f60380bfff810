"""The benchmark compares like with like: our modules and the listings agree."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.attention_speed import ORDER, make_pair, output_difference
from bench.attention_timing import KEPT_TARGETS, TARGETS
from models.attention._registry import ATTENTION


def gradients(module: nn.Module, x: Tensor) -> dict[str, Any]:
    x = x.clone().requires_grad_()
    out = module.train()(x)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)).sum().backward()
    assert x.grad is not None
    return {"": x.grad, **{name: parameter.grad for name, parameter in module.named_parameters()}}


def test_every_listing_has_a_module() -> None:
    """A new module needs no listing."""
    assert set(ORDER) <= {kind.__name__ for kind in ATTENTION.values()}
    assert set(TARGETS) | set(KEPT_TARGETS) <= set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_both_sides_compute_the_same(name: str) -> None:
    """Outputs, and gradients of the input and all weights, in float64, where only a real difference
    shows.
    """
    pair = [module.double() for module in make_pair(name, 64)]
    x = torch.randn(3, 64, 8, 9, generator=torch.Generator().manual_seed(0)).double()
    assert output_difference((pair[0], pair[1]), x) < 1e-6
    expected, found = (gradients(module, x) for module in pair)
    for key, value in expected.items():
        largest = max(float(value.abs().max()), 1e-3)
        other = torch.zeros_like(value) if found[key] is None else found[key].reshape(value.shape)
        assert float((other - value).abs().max()) < 1e-6 * largest, key
