"""The benchmark compares like with like: our modules and the listings agree; and its verdicts
follow its figures.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.attention_speed import (
    KEPT_TARGETS,
    ORDER,
    SPEED_HEADERS,
    TARGETS,
    PairTiming,
    make_pair,
    output_difference,
    quartiles,
)
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


def cell(name: str, forward: float, training: float, kept: tuple[int, int]) -> PairTiming:
    made = PairTiming(name, (1, 8, 4, 4), "nchw", difference=1e-7, kept=kept)
    made.forward, made.training = [(forward, 1.0)] * 5, [(training, 1.0)] * 5
    return made


@pytest.mark.parametrize(
    ("name", "forward", "training", "kept", "verdict"),
    [
        ("SimAM", 1.0, 2.0, (300, 100), "PASS"),
        ("SimAM", 1.0, 1.9, (300, 100), "FALL SHORT: training"),
        ("SimAM", 1.0, 2.0, (300, 120), "FALL SHORT: kept"),
        ("SE", 1.0, 1.3, (300, 300), "PASS"),
        ("SE", 0.9, 1.4, (300, 310), "FALL SHORT: forward, kept"),
        ("LSK", 0.98, 0.98, (300, 300), "PASS"),
        ("LSK", 1.0, 0.9, (300, 300), "FALL SHORT: training"),
    ],
)
def test_verdicts(
    name: str, forward: float, training: float, kept: tuple[int, int], verdict: str
) -> None:
    made = cell(name, forward, training, kept)
    assert len(made.cells()) == len(SPEED_HEADERS)
    assert made.cells()[-1] == verdict
    made.difference = float("nan")
    assert made.shortfalls[-1] == "difference"


def test_quartiles() -> None:
    pairs = [(float(value), 2.0) for value in (2, 4, 6, 8, 10)]
    assert quartiles(pairs) == (2.0, 3.0, 4.0)
    assert quartiles(pairs[:3]) == (1.0, 2.0, 3.0)
