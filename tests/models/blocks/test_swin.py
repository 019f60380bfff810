"""Attention within shifted windows, against a loop over all pairs of cells."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import swin
from models.graph.info import row_info
from models.yolo import DetectionModel
from tests.models.graph.test_layers import graph_with


def attended(layer: swin.SwinTransformerLayer, x: Tensor, heads: int) -> Tensor:
    """x [H, W, C], filled by windows: attention for each cell by its definition."""
    height, width, channels = x.shape
    side, shift, size = layer.side, layer.shift, channels // heads
    qkv = layer.attn.qkv(x).view(height, width, 3, heads, size)
    table = layer.attn.relative_position_bias_table.view(2 * side - 1, 2 * side - 1, heads)
    out = torch.zeros(height, width, heads, size)
    cells = [(row, column) for row in range(height) for column in range(width)]
    for row, column in cells:
        # Windows of the moved grid; cells that wrap around belong to no window of the others.
        place = ((row - shift) // side, (column - shift) // side)
        near = [(r, c) for r, c in cells if ((r - shift) // side, (c - shift) // side) == place]
        for head in range(heads):
            logits = [
                qkv[row, column, 0, head] @ qkv[r, c, 1, head] / size**0.5
                + table[row - r + side - 1, column - c + side - 1, head]
                for r, c in near
            ]
            shares = torch.stack(logits).softmax(0)
            values = torch.stack([qkv[r, c, 2, head] for r, c in near])
            out[row, column, head] = shares @ values
    return layer.attn.proj(out.flatten(2))


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(4, 8), (7, 6)])
def test_cells_attend_within_their_window(shift: int, size: tuple[int, int]) -> None:
    heads = 2
    layer = swin.SwinTransformerLayer(6, heads, 4, shift)
    torch.nn.init.normal_(layer.attn.relative_position_bias_table)
    torch.nn.init.normal_(layer.norm1.bias)
    x = torch.randn(1, 6, *size)
    full = F.pad(x, (0, -size[1] % 4, 0, -size[0] % 4))[0].permute(1, 2, 0)
    y = full + attended(layer, layer.norm1(full), heads)
    hidden = layer.mlp.fc1(layer.norm2(y))
    y = y + layer.mlp.fc2(hidden * hidden.sigmoid())
    expected = y.permute(2, 0, 1)[None, :, : size[0], : size[1]]
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_every_second_layer_moves_its_windows() -> None:
    block = swin.C3STR(16, 192, 3)
    assert [layer.shift for layer in block.m.tr] == [0, 4, 0]
    assert [layer.attn.heads for layer in block.m.tr] == [3, 3, 3]
    keys = set(block.state_dict())
    assert {"m.tr.0.attn.relative_position_bias_table", "m.tr.2.mlp.fc1.weight"} <= keys
    with pytest.raises(ValueError, match="100 hidden channels are no multiple of 3 heads"):
        swin.C3STR(16, 200)


def test_a_row_of_c3str() -> None:
    model = DetectionModel(graph_with([-1, 2, "C3STR", [64]])).eval()
    assert row_info(model.model[1]).width == 64
    assert torch.isfinite(model(torch.rand(2, 3, 96, 64))[0]).all()
