"""MLLAttention against a loop over positions with complex numbers, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.mlla import MLLAttention
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def turned(tokens: Tensor, height: int, width: int) -> Tensor:
    """Tokens, [B, M, C], where pairs of channels are complex numbers times those of length 1."""
    quarter = tokens.shape[2] // 4
    numbers = torch.view_as_complex(tokens.unflatten(2, (-1, 2)).contiguous())
    turns = torch.zeros(height * width, 2 * quarter, dtype=tokens.dtype)
    for place in range(height * width):
        for pair in range(quarter):
            speed = 10000 ** (-pair / quarter)
            turns[place, pair] = place // width * speed
            turns[place, quarter + pair] = place % width * speed
    return torch.view_as_real(numbers * torch.exp(1j * turns)).flatten(2)


def listing(module: MLLAttention, x: Tensor) -> Tensor:
    height, width = x.shape[2:]
    tokens = x.flatten(2).transpose(1, 2)
    both = F.linear(tokens, module.qk.weight, module.qk.bias)
    q, k = (torch.where(part > 0, part + 1, part.exp()) for part in both.chunk(2, 2))
    turned_q, turned_k = turned(q, height, width), turned(k, height, width)
    heads = []
    for part in torch.arange(x.shape[1]).chunk(module.heads):
        one, other, v = turned_q[:, :, part], turned_k[:, :, part], tokens[:, :, part]
        weights = torch.einsum("bic,bjc->bij", one, other) / len(tokens[0])
        total = torch.einsum("bic,bjc->bi", q[:, :, part], k[:, :, part]) / len(tokens[0])
        heads.append(torch.einsum("bij,bjc->bic", weights, v) / (total + 1e-6)[..., None])
    out = torch.cat(heads, 2).transpose(1, 2).reshape(x.shape)
    around = F.pad(x, (1, 1, 1, 1))
    near = [
        around[:, :, i : i + height, j : j + width] * module.lepe.weight[:, 0, i, j][:, None, None]
        for i in range(3)
        for j in range(3)
    ]
    assert module.lepe.bias is not None
    return out + torch.stack(near).sum(0) + module.lepe.bias[:, None, None]


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"num_heads": 1, "qkv_bias": False}, {"num_heads": 8}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = MLLAttention(8, **options).double()
    x = draws(5, 2, 8, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_lists_and_cost() -> None:
    assert read_list(MLLAttention, [], 256, int) == ({}, "")
    assert read_list(MLLAttention, [256, 8], 256, int) == ({"num_heads": 8}, "")
    assert sum(value.numel() for value in MLLAttention(256).parameters()) == 134_144


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"qkv_bias": 1}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MLLAttention(8, **options)


def test_pairs_need_a_multiple_of_four_channels() -> None:
    with pytest.raises(ValueError, match="6 channels are no multiple of 4"):
        MLLAttention(6)
