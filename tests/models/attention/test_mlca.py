"""MLCA: golden values, the formula with PyTorch's pooling, its taps, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.mlca import MLCA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("mlca")


def listing(module: MLCA, x: Tensor) -> Tensor:
    """The formula written down once more, with adaptive pooling and a loop over the taps."""
    pool = nn.functional.adaptive_avg_pool2d
    side, share = module.local_size, module.local_weight
    cells = pool(x, side).flatten(2)  # [B, C, L L]
    whole = along(module.conv.weight, cells.mean(2))[:, :, None]
    own = along(module.conv_local.weight, cells.transpose(1, 2).flatten(1))
    own = own.view(len(x), side * side, -1).transpose(1, 2)
    gate = (1 - share) * whole.sigmoid() + share * own.sigmoid()
    return x * pool(gate.unflatten(2, (side, side)), list(x.shape[2:]))


def along(weight: Tensor, sequence: Tensor) -> Tensor:
    """A convolution of [B, N] with zeros outside, tap by tap."""
    taps = weight.flatten()
    half, size = len(taps) // 2, sequence.shape[1]
    padded = nn.functional.pad(sequence, (half, half))
    parts = [tap * padded[:, place : place + size] for place, tap in enumerate(taps)]
    return torch.stack(parts).sum(0)


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(MLCA(32), "official", size)


def test_golden_of_another_grid() -> None:
    GOLDEN.check(MLCA(32, local_size=3, local_weight=0.3), "local3", "7x13")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (11, 3), (10, 10)], ids=str)
@pytest.mark.parametrize("options", [{}, {"local_size": 4, "local_weight": 0.2}], ids=str)
def test_gradients(
    options: dict[str, Any], size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    module = MLCA(6, **options).double()
    x = draws(5, 3, 6, *size).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


@pytest.mark.parametrize(
    ("channels", "options", "taps"),
    [
        (8, {}, 3),
        (16, {}, 3),
        (64, {}, 3),
        (128, {}, 5),
        (1024, {}, 5),
        (1, {"b": 0}, 1),
        (64, {"gamma": 1, "b": 2}, 9),
        (64, {"b": -20}, 7),
    ],
    ids=str,
)
def test_taps(channels: int, options: dict[str, Any], taps: int) -> None:
    module = MLCA(channels, **options)
    assert {name: value.shape for name, value in module.state_dict().items()} == {
        "conv.weight": (1, 1, taps),
        "conv_local.weight": (1, 1, taps),
    }


def test_lists_of_tutorials() -> None:
    assert read_list(MLCA, [256], 256, int) == ({}, "")
    assert read_list(MLCA, [7], 256, int) == ({"local_size": 7}, "")
    expected = {"local_size": 5, "gamma": 2, "b": 1, "local_weight": 0.3}
    assert read_list(MLCA, [256, 5, 2, 1, 0.3], 256, int) == (expected, "")


@pytest.mark.parametrize(
    "options",
    [
        {"local_size": 0},
        {"local_size": 5.0},
        {"gamma": 0},
        {"gamma": True},
        {"b": "1"},
        {"b": float("inf")},
        {"local_weight": 1.5},
        {"local_weight": -0.1},
        {"local_weight": None},
    ],
    ids=str,
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MLCA(8, **options)
