"""SELayerV2 against one row of its gate at a time, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.attention import build_attention
from models.attention._arguments import read_list
from models.attention.se_v2 import SELayerV2
from tests.models.attention.golden import assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def listing(module: SELayerV2, x: Tensor) -> Tensor:
    """The formula once more, where the last layer is a sum over the four branches."""
    z = x.mean((2, 3))
    hidden = [getattr(module, f"fc{place}")[0].weight for place in (1, 2, 3, 4)]
    last = module.fc[0].weight.chunk(4, 1)
    parts = zip(hidden, last, strict=True)
    logits = torch.stack([(z @ first.T).clamp(min=0) @ second.T for first, second in parts]).sum(0)
    return x / (1 + (-logits).exp())[:, :, None, None]


@LAYOUTS
@pytest.mark.parametrize("reduction", [2, 32])
def test_values_and_gradients(reduction: int, layout: torch.memory_format) -> None:
    module = SELayerV2(8, reduction=reduction).double()
    x = draws(5, 3, 8, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_names_lists_and_cost() -> None:
    assert isinstance(build_attention("SENetV2", 8), SELayerV2)
    assert read_list(SELayerV2, [16], 256, int) == ({"reduction": 16}, "")
    assert read_list(SELayerV2, [1024], 1024, int) == ({}, "")
    assert sum(value.numel() for value in SELayerV2(256).parameters()) == 16_384
    with pytest.raises(ValueError, match="reduction=64"):
        SELayerV2(8, reduction=64)
