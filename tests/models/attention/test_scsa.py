"""SCSA against sums over windows and taps, small maps, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.scsa import SCSA
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def normal(values: Tensor, groups: int, norm: nn.GroupNorm) -> Tensor:
    """Group norm of [B, C, N], a group of channels at a time."""
    parts = []
    for part in values.chunk(groups, 1):
        mean, variance = part.mean((1, 2), keepdim=True), part.var((1, 2), False, keepdim=True)
        parts.append((part - mean) / (variance + norm.eps).sqrt())
    return torch.cat(parts, 1) * norm.weight[:, None] + norm.bias[:, None]


def gate(module: SCSA, means: Tensor, norm: nn.GroupNorm) -> Tensor:
    parts = []
    layers = (module.local_dwc, module.global_dwc_s, module.global_dwc_m, module.global_dwc_l)
    for layer, part in zip(layers, means.chunk(4, 1), strict=True):
        reach, length = layer.weight.shape[2] // 2, part.shape[2]
        out = layer.bias[:, None].expand_as(part)  # type: ignore[index]
        for place in range(length):
            for other in range(max(place - reach, 0), min(place + reach + 1, length)):
                tap = layer.weight[:, 0, other - place + reach]
                unit = torch.eye(length, dtype=part.dtype)[place]
                out = out + (tap * part[:, :, other])[..., None] * unit
        parts.append(out)
    return normal(torch.cat(parts, 1), 4, norm).sigmoid()


def listing(module: SCSA, x: Tensor) -> Tensor:
    rows = gate(module, x.mean(3), module.norm_h)
    columns = gate(module, x.mean(2), module.norm_w)
    y = torch.einsum("bchw,bch,bcw->bchw", x, rows, columns)
    height, width = x.shape[2:]
    down, across = (min(module.window, side) for side in (height, width))
    windows = [
        y[:, :, i * down : (i + 1) * down, j * across : (j + 1) * across].mean((2, 3))
        for i in range(height // down)
        for j in range(width // across)
    ]
    p = normal(torch.stack(windows, 2), 1, module.norm)
    q, k, v = (p * layer.weight[:, :, 0, 0] for layer in (module.q, module.k, module.v))
    heads = []
    for one, other, value in zip(*(part.chunk(module.heads, 1) for part in (q, k, v)), strict=True):
        logits = torch.einsum("bcn,bdn->bcd", one, other) / math.sqrt(one.shape[1])
        heads.append(torch.einsum("bcd,bdn->bcn", logits.softmax(2), value).mean(2))
    return y * torch.cat(heads, 1).sigmoid()[:, :, None, None]


@LAYOUTS
@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (15, 9)),
        ({"window_size": 2, "head_num": 2}, (5, 6)),
        ({"group_kernel_sizes": [1, 3, 3, 5], "head_num": 1}, (3, 8)),
    ],
)
def test_values_and_gradients(
    options: dict[str, Any], size: tuple[int, int], layout: torch.memory_format
) -> None:
    module = SCSA(8, **options).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.1 * torch.randn_like(value))
    x = draws(5, 2, 8, *size).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_lists_and_cost() -> None:
    assert read_list(SCSA, [], 256, int) == ({}, "")
    assert read_list(SCSA, [8], 256, int) == ({"head_num": 8}, "")
    assert read_list(SCSA, [256, 8, 7], 256, int) == ({"head_num": 8, "window_size": 7}, "")
    assert sum(value.numel() for value in SCSA(256).parameters()) == 4_096


@pytest.mark.parametrize(
    "options",
    [
        {"head_num": 3},
        {"window_size": 0},
        {"group_kernel_sizes": 3},
        {"group_kernel_sizes": [3, 5, 7]},
        {"group_kernel_sizes": [3, 5, 7, 8]},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        SCSA(8, **options)


def test_channels_form_four_groups() -> None:
    with pytest.raises(ValueError, match="must divide the 6 channels"):
        SCSA(6)
