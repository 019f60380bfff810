"""ParNet and ParNetAttention: golden values, plain calculations, single values, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.parnet import ParNet, ParNetAttention
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("parnet")
# Batch norm over the two values of a 1x1 map leaves hardly any gradient of x: its terms cancel.
GOLDEN.floors["gradx"] = 1.0


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(ParNet(32), "official", size)


def test_golden_of_public_code() -> None:
    GOLDEN.check(ParNetAttention(32), "ea", "7x13")


def normed(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch norm in train mode, from its definition."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    z = (x - mean) / (variance + norm.eps).sqrt()
    return z * norm.weight[:, None, None] + norm.bias[:, None, None]


def listing(module: ParNet, x: Tensor) -> Tensor:
    """The formula; a convolution of one position is a matrix."""
    identity = normed(x, module.rbr_identity)
    weight = module.state_dict(keep_vars=True)["se.cvsig.conv.weight"][:, :, 0, 0]
    gate = (identity.mean((2, 3)) @ weight.T).sigmoid()[:, :, None, None]
    dense = normed(F.conv2d(x, module.rbr_dense.conv.weight, padding=1), module.rbr_dense.bn)
    point = normed(
        torch.einsum("oi,bihw->bohw", module.rbr_1x1.conv.weight[:, :, 0, 0], x), module.rbr_1x1.bn
    )
    total = dense + point + identity * gate
    return total * total.sigmoid() if module.activation == "silu" else total.clamp_min(0)


def public_listing(module: ParNetAttention, x: Tensor) -> Tensor:
    """The formula of the public code, layer by layer."""
    return F.silu(module.conv1x1(x) + module.conv3x3(x) + x * module.sse(x))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_plain_calculations(layout: torch.memory_format) -> None:
    cases: list[tuple[Any, Any]] = [
        (ParNet(6), listing),
        (ParNet(6, activation="relu"), listing),
        (ParNetAttention(6), public_listing),
    ]
    for module, plain in cases:
        module = module.double()
        x = draws(1, 2, 6, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
        torch.testing.assert_close(module(x), plain(module, x))
        assert_same_gradients(module, plain, x, layout)


@pytest.mark.parametrize(("kind", "parameters"), [(ParNet, 722_432), (ParNetAttention, 722_688)])
def test_parameters_at_256(kind: Any, parameters: int) -> None:
    assert sum(parameter.numel() for parameter in kind(256).parameters()) == parameters


def test_lists_of_tutorials() -> None:
    assert read_list(ParNetAttention, [256, 0.5, 2], 256, int) == ({}, "")
    assert read_list(ParNetAttention, [256], 256, int) == ({}, "")
    assert read_list(ParNet, [256, "relu"], 256, int) == ({"activation": "relu"}, "")


@pytest.mark.parametrize("activation", ["SiLU", "gelu", None, 1, ["silu"]])
def test_impossible_values(activation: Any) -> None:
    with pytest.raises(ValueError, match="activation="):
        ParNet(8, activation=activation)
