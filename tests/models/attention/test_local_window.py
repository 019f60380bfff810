"""LocalWindowAttention against loops over windows and heads, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.local_window import LocalWindowAttention
from tests.models.attention.golden import assert_same_gradients, draws


def cascade(cascaded: Any, windows: Tensor) -> Tensor:
    """Windows, [N, C, side, side], one head at a time; batch norm is that of all windows."""
    side, depth = cascaded.side, cascaded.key_dim
    outs, heard = [], torch.zeros(())
    for head, part in enumerate(windows.chunk(len(cascaded.qkvs), 1)):
        heard = part + heard
        layer = cascaded.qkvs[head]
        qkv = layer.bn(torch.einsum("oc,nchw->nohw", layer.c.weight[:, :, 0, 0], heard))
        q, k, v = qkv[:, :depth], qkv[:, depth : 2 * depth], qkv[:, 2 * depth :]
        q = cascaded.dws[head].bn(cascaded.dws[head].c(q))
        logits = torch.einsum("nchw,ncyx->nhwyx", q, k) / math.sqrt(depth)
        table = cascaded.attention_biases[head].view(side, side)
        bias = torch.stack(
            [
                table[abs(i // side - j // side), abs(i % side - j % side)]
                for i in range(side**2)
                for j in range(side**2)
            ]
        )
        logits = logits + bias.view(side, side, side, side)
        weights = logits.flatten(3).softmax(3).view_as(logits)
        heard = torch.einsum("nhwyx,ncyx->nchw", weights, v)
        outs.append(heard)
    last = cascaded.proj[1]
    return last.bn(last.c(torch.cat(outs, 1).relu()))


def listing(module: LocalWindowAttention, x: Tensor) -> Tensor:
    (height, width), side = x.shape[2:], module.side
    rows, columns = math.ceil(height / side), math.ceil(width / side)
    full = x.new_zeros(*x.shape[:2], rows * side, columns * side)
    full[:, :, :height, :width] = x
    places = [(row * side, column * side) for row in range(rows) for column in range(columns)]
    windows = [full[:, :, top : top + side, left : left + side] for top, left in places]
    mixed = cascade(module.attn, torch.cat(windows)).chunk(len(places))
    out = torch.zeros_like(full)
    for (top, left), one in zip(places, mixed, strict=True):
        out[:, :, top : top + side, left : left + side] = one
    return out[:, :, :height, :width]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"window_resolution": 3}, (4, 5)),
        ({"window_resolution": 2, "kernels": [3, 1], "key_dim": 3}, (4, 6)),
        ({"window_resolution": 4, "num_heads": 1}, (2, 3)),
    ],
)
def test_values_and_gradients(options: dict[str, Any], size: tuple[int, int]) -> None:
    module = LocalWindowAttention(8, **options).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(0.2 * torch.randn_like(value))
    x = draws(5, 2, 8, *size).double().requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, torch.contiguous_format)


def test_lists_and_cost() -> None:
    assert read_list(LocalWindowAttention, [], 256, int) == ({}, "")
    found = read_list(LocalWindowAttention, [256, 16, 4, 4, 14, 7, [5, 5, 5, 5]], 256, int)
    assert found == (
        {"key_dim": 16, "num_heads": 4, "window_resolution": 7, "kernels": [5, 5, 5, 5]},
        "",
    )
    assert len(LocalWindowAttention(10).attn.qkvs) == 2  # 4 does not divide 10


@pytest.mark.parametrize(
    "options",
    [
        {"key_dim": 0},
        {"num_heads": 3},
        {"window_resolution": 1.5},
        {"kernels": [5]},
        {"kernels": [4, 4, 4, 4]},
        {"kernels": 5},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    heads = {} if "num_heads" in options else {"num_heads": 4}
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        LocalWindowAttention(8, **heads, **options)
