"""CPCA: golden values, the formula with whole kernels, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.cpca import CPCA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("cpca")


def listing(module: CPCA, x: Tensor) -> Tensor:
    """The formula written down once more: a pair of strips has one k x k kernel, their product."""
    conv2d = nn.functional.conv2d
    channels, gate = x.shape[1], module.ca
    y = conv2d(x, module.conv.weight, module.conv.bias)
    y = y / 2 * (1 + torch.erf(y / 2**0.5))
    factor = torch.zeros(())
    for pooled in (y.mean((2, 3)), y.amax((2, 3))):
        hidden = (pooled @ gate.fc1.weight[:, :, 0, 0].t() + gate.fc1.bias).clamp_min(0)
        factor = factor + (hidden @ gate.fc2.weight[:, :, 0, 0].t() + gate.fc2.bias).sigmoid()
    y = y * factor[:, :, None, None]
    z = conv2d(y, module.dconv5_5.weight, module.dconv5_5.bias, padding=2, groups=channels)
    a = z
    for along, down in (
        (module.dconv1_7, module.dconv7_1),
        (module.dconv1_11, module.dconv11_1),
        (module.dconv1_21, module.dconv21_1),
    ):
        assert along.bias is not None
        kernel, side = down.weight * along.weight, down.weight.shape[2] // 2
        a = a + conv2d(z, kernel, down.bias, padding=side, groups=channels)
        ones = torch.ones_like(z) * along.bias[:, None, None]  # zero outside of the map
        a = a + conv2d(ones, down.weight, None, padding=(side, 0), groups=channels)
    a = conv2d(a, module.conv.weight, module.conv.bias)
    out = conv2d(a * y, module.conv.weight, module.conv.bias)
    return x + out if module.residual else out


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(CPCA(32), "official", size)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("options", [{}, {"residual": True}, {"reduction": 2}], ids=str)
def test_gradients(options: dict[str, Any], memory_format: torch.memory_format) -> None:
    module = CPCA(4, **options).double()
    x = draws(5, 2, 4, 6, 11).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


@pytest.mark.parametrize(("channels", "reduction", "hidden"), [(64, 4, 16), (2, 4, 1), (64, 16, 4)])
def test_hidden_values(channels: int, reduction: int, hidden: int) -> None:
    assert CPCA(channels, reduction=reduction).ca.fc1.out_channels == hidden


def test_parameters_at_256() -> None:
    with torch.device("meta"):
        assert sum(value.numel() for value in CPCA(256).parameters()) == 127_040


def test_lists_of_tutorials() -> None:
    assert read_list(CPCA, [256], 256, int) == ({}, "")
    assert read_list(CPCA, [4], 256, int) == ({"reduction": 4}, "")
    assert read_list(CPCA, [256, 8, True], 256, int) == ({"reduction": 8, "residual": True}, "")


@pytest.mark.parametrize(
    "options", [{"reduction": 0}, {"reduction": 128}, {"reduction": 4.0}, {"residual": 1}], ids=str
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        CPCA(64, **options)
