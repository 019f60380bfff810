"""CAFMAttention against loops over heads and channels, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.cafm import CAFMAttention
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: CAFMAttention, x: Tensor) -> Tensor:
    """The formula once more, one head and one group of the last convolution at a time."""
    maps = module.qkv_dwconv(module.qkv(x))
    heads = [part.chunk(module.heads, 1) for part in maps.chunk(3, 1)]
    mixed = []
    for q, k, v, heat in zip(*heads, module.temperature, strict=True):
        one, other = (part / part.square().sum((2, 3), keepdim=True).sqrt() for part in (q, k))
        logits = torch.einsum("bchw,bdhw->bcd", one, other) * heat
        mixed.append(torch.einsum("bcd,bdhw->bchw", logits.softmax(2), v))
    out = module.project_out(torch.cat(mixed, 1))
    depth = x.shape[1] // module.heads
    last = module.dep_conv
    assert last.bias is not None
    local = []
    for place in range(depth):
        values = maps[:, place::depth]  # of every head of q, then of k, then of v
        width = slice(place * module.heads, (place + 1) * module.heads)
        local.append(F.conv2d(module.fc(values), last.weight[width], last.bias[width], 1, 1))
    out = out + torch.cat(local, 1)
    return out + x if module.residual else out


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"num_heads": 3, "bias": True, "residual": True}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = CAFMAttention(12, **options).double()
    x = draws(5, 2, 12, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_lists_and_cost() -> None:
    assert read_list(CAFMAttention, [], 256, int) == ({}, "")
    assert read_list(CAFMAttention, [8], 256, int) == ({"num_heads": 8}, "")
    assert read_list(CAFMAttention, [256, 4], 256, int) == ({"num_heads": 4}, "")
    assert sum(value.numel() for value in CAFMAttention(256).parameters()) == 290_281


@pytest.mark.parametrize("options", [{"num_heads": 3}, {"bias": 1}, {"residual": None}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        CAFMAttention(8, **options)
