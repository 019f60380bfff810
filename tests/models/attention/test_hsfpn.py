"""HSFPNChannelAttention against its formula, its gate alone, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.hsfpn import HSFPNChannelAttention
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: HSFPNChannelAttention, x: Tensor) -> Tensor:
    first, second = (conv.weight[:, :, 0, 0].T for conv in (module.conv1, module.conv2))
    values = x.flatten(2)
    logits = sum(
        (pooled @ first).clamp(min=0) @ second for pooled in (values.mean(2), values.amax(2))
    )
    gate = 1 / (1 + (-logits).exp())[:, :, None, None]  # type: ignore[operator]
    return x * gate if module.flag else gate + 0 * x


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"ratio": 2}, {"ratio": 16, "flag": False}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = HSFPNChannelAttention(8, **options).double()
    x = draws(5, 3, 8, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_names_lists_and_cost() -> None:
    assert isinstance(build_attention("ChannelAttention_HSFPN", 8), HSFPNChannelAttention)
    assert read_list(HSFPNChannelAttention, [4, False], 256, int) == (
        {"ratio": 4, "flag": False},
        "",
    )
    assert sum(value.numel() for value in HSFPNChannelAttention(256).parameters()) == 32_768


@pytest.mark.parametrize("options", [{"ratio": 0}, {"flag": 1}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        HSFPNChannelAttention(8, **options)
