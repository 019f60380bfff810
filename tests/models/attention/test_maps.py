"""The steps on maps give what PyTorch's own operations give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.attention._maps import apply_at_positions, cell_weights, without_autocast


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_at_each_position(bias: bool) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(5, 3, bias=bias), torch.randn(2, 5, 4, 6)
    expected = layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        found = apply_at_positions(layer, x.contiguous(memory_format=memory_format))
        torch.testing.assert_close(found, expected)
        assert found.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 12, 20])
@pytest.mark.parametrize("cells", [1, 3, 7])
def test_cells_are_those_of_adaptive_pooling(length: int, cells: int) -> None:
    x = torch.arange(length).double().square()[None, None]
    found = cell_weights(length, cells, x) @ x[0, 0]
    torch.testing.assert_close(found, F.adaptive_avg_pool1d(x, cells)[0, 0])
    assert cell_weights(length, cells, x.half()).dtype == torch.float16


def test_without_autocast() -> None:
    x = torch.tensor([[1.001]])
    with torch.autocast("cpu", torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16
        with without_autocast(x):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16
    with without_autocast(x.to("meta")):
        assert (x @ x).dtype == torch.float32
