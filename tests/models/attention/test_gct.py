"""GCT: golden values, the formula written out, its start as the identity, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.gct import GCT
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("gct")


def listing(module: GCT, x: Tensor) -> Tensor:
    """The formula written down once more, one operation at a time."""
    alpha, gamma, beta = module.alpha, module.gamma, module.beta
    if module.mode == "l2":
        e = alpha * ((x * x).sum((2, 3), keepdim=True) + module.epsilon) ** 0.5
        n = gamma / ((e * e).mean(1, keepdim=True) + module.epsilon) ** 0.5
    else:
        e = alpha * (x if module.after_relu else x.abs()).sum((2, 3), keepdim=True)
        n = gamma / (e.abs().mean(1, keepdim=True) + module.epsilon)
    return x * (1 + torch.tanh(e * n + beta))


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(GCT(32), "official", size)


def test_golden_of_sums() -> None:
    GOLDEN.check(GCT(32, mode="l1"), "l1", "7x13")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "options", [{}, {"mode": "l1"}, {"mode": "l1", "after_relu": True}, {"epsilon": 0.5}], ids=str
)
def test_gradients(options: dict[str, Any], memory_format: torch.memory_format) -> None:
    module = GCT(6, **options).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(draws(3, *value.shape) / 2)
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_a_new_module_changes_nothing() -> None:
    x = draws(2, 2, 32, 5, 6)
    assert torch.equal(GCT(32)(x), x)
    assert torch.equal(GCT(32, mode="l1")(x), x)


def test_the_sign_of_gamma_decides_who_gains() -> None:
    """Channel 0 is the larger: it gains where channels compete, and loses where they level."""
    x = torch.stack((torch.full((4, 4), 3.0), torch.ones(4, 4)))[None]
    module = GCT(2)
    for gamma, sign in ((0.5, 1), (-0.5, -1)):
        module.gamma.data.fill_(gamma)
        factors = (module(x) / x)[0, :, 0, 0]
        assert float(factors[0] - factors[1]) * sign > 0


def test_squares_that_overflow_half_precision() -> None:
    module = GCT(8).half()
    module.gamma.data.fill_(0.3)
    x = (20 * draws(1, 1, 8, 80, 80)).half()
    wide = GCT(8)
    wide.gamma.data.fill_(float(module.gamma[0, 0]))
    torch.testing.assert_close(module(x).float(), wide(x.float()), rtol=5e-3, atol=5e-3)


def test_lists_of_tutorials() -> None:
    assert read_list(GCT, [256], 256, int) == ({}, "")
    assert read_list(GCT, [256, 1e-5, "l1"], 256, int) == ({"epsilon": 1e-5, "mode": "l1"}, "")


@pytest.mark.parametrize(
    "options",
    [
        {"epsilon": 0},
        {"epsilon": float("nan")},
        {"epsilon": True},
        {"epsilon": "1e-5"},
        {"mode": "l3"},
        {"mode": None},
        {"after_relu": 1},
    ],
    ids=str,
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        GCT(8, **options)
