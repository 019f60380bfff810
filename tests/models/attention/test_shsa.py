"""SHSA against a loop over positions, single images, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.shsa import SHSA
from tests.models.attention.golden import assert_same_gradients, draws


def conv_norm(module: Any, x: Tensor) -> Tensor:
    return module.bn(torch.einsum("oc,bchw->bohw", module.c.weight[:, :, 0, 0], x))


def listing(module: SHSA, x: Tensor) -> Tensor:
    """The formula once more, one position at a time."""
    first, rest = x[:, : module.pdim], x[:, module.pdim :]
    centred = first - first.mean((1, 2, 3), keepdim=True)
    spread = (centred.square().mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
    norm = module.pre_norm
    maps = conv_norm(
        module.qkv,
        centred / spread * norm.weight[:, None, None] + norm.bias[:, None, None],
    ).flatten(2)
    depth = module.qk_dim
    q, k, v = maps[:, :depth], maps[:, depth : 2 * depth], maps[:, 2 * depth :]
    out = []
    for place in range(q.shape[2]):
        powers = ((q[:, :, place, None] * k).sum(1) / depth**0.5).exp()
        out.append((v * (powers / powers.sum(1, keepdim=True))[:, None]).sum(2))
    attended = torch.stack(out, 2).reshape(first.shape)
    return conv_norm(module.proj[1], torch.cat((attended, rest), 1).relu())


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(
    ("options", "layout"),
    [
        ({}, torch.channels_last),
        ({}, torch.contiguous_format),
        ({"qk_dim": 3, "pdim": 7}, torch.contiguous_format),
        ({"pdim": 8}, torch.contiguous_format),
    ],
)
def test_values_and_gradients(
    options: dict[str, Any], batch: int, layout: torch.memory_format
) -> None:
    module = SHSA(8, **options).double()
    x = draws(5, batch, 8, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    for training in (True, False):
        module.train(training)
        torch.testing.assert_close(module(x), listing(module, x))
        assert_same_gradients(module, listing, x, layout)


def test_lists_and_cost() -> None:
    assert read_list(SHSA, [], 256, int) == ({}, "")
    assert read_list(SHSA, [256, 16, 64], 256, int) == ({"qk_dim": 16, "pdim": 64}, "")
    assert (SHSA(224).pdim, SHSA(320).pdim, SHSA(4).pdim) == (47, 68, 1)
    assert sum(value.numel() for value in SHSA(256).parameters()) == 70_972


@pytest.mark.parametrize("options", [{"qk_dim": 0}, {"pdim": 9}, {"pdim": 1.5}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        SHSA(8, **options)
