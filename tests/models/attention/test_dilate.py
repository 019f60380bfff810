"""MultiDilatelocalAttention against unfolded neighbourhoods, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import dilate
from models.attention._arguments import read_list
from models.attention.dilate import MultiDilatelocalAttention
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: MultiDilatelocalAttention, x: Tensor) -> Tensor:
    """The formula once more: F.unfold copies every neighbourhood."""
    height, width = x.shape[2:]
    q, k, v = module.qkv(x).chunk(3, 1)
    side, rates = module.kernel_size, module.dilation
    parts = []
    for rate, *part in zip(rates, *(one.chunk(len(rates), 1) for one in (q, k, v)), strict=True):
        query = part[0].reshape(len(x), module.heads, -1, 1, height * width)
        key, value = (
            F.unfold(one, side, rate, rate * (side // 2)).reshape(
                len(x), module.heads, -1, side**2, height * width
            )
            for one in part[1:]
        )
        weights = ((query * key).sum(2) / query.shape[2] ** 0.5).softmax(2)
        parts.append((weights[:, :, None] * value).sum(3).reshape(part[0].shape))
    out = F.linear(torch.cat(parts, 1).movedim(1, 3), module.proj.weight, module.proj.bias)
    return out.movedim(3, 1)


@LAYOUTS
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dilation": [1, 2, 3], "num_heads": 6, "qkv_bias": True},
        {"kernel_size": 5, "dilation": [2]},
    ],
)
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = MultiDilatelocalAttention(24, **options).double()
    x = draws(5, 2, 24, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_neighbourhoods_are_not_copied() -> None:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    x = draws(1, 2, 64, 20, 20).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        MultiDilatelocalAttention(64)(x)
    assert sum(kept.values()) < 12 * x.numel()  # unfolded keys and values alone are 18


@pytest.mark.parametrize("size", [(7, 13), (1, 1)])
def test_the_form_of_an_accelerator_computes_the_same(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    module = MultiDilatelocalAttention(16).double()
    x = draws(1, 2, 16, *size).double().requires_grad_()
    expected = module(x)
    calls: list[Tensor] = []
    unfold = F.unfold
    monkeypatch.setattr(dilate, "use_fast", lambda _: False)
    monkeypatch.setattr(F, "unfold", lambda *args: (calls.append(args[0]), unfold(*args))[1])
    assert_same_gradients(module, listing, x, torch.contiguous_format)
    calls.clear()
    torch.testing.assert_close(module(x), expected)
    assert len(calls) == 8  # keys and values of four rates
    monkeypatch.setattr(dilate, "UNFOLDED", 0)
    torch.testing.assert_close(module(x), expected)
    assert len(calls) == 8


def test_lists_and_cost() -> None:
    assert read_list(MultiDilatelocalAttention, [], 256, int) == ({}, "")
    assert read_list(MultiDilatelocalAttention, [8], 256, int) == ({"num_heads": 8}, "")
    assert sum(value.numel() for value in MultiDilatelocalAttention(256).parameters()) == 262_400


@pytest.mark.parametrize(
    "options",
    [
        {"num_heads": 6},
        {"num_heads": 16},
        {"num_heads": "8"},
        {"kernel_size": 2},
        {"dilation": []},
        {"dilation": 2},
        {"dilation": [1, 2, 3]},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MultiDilatelocalAttention(8, **options)
