"""Rows of a Swin backbone, with attention computed for each pair of cells of a window."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import swin_stage
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.graph.test_layers import graph_with


def attended(x: Tensor, layer: Any, side: int, shift: int) -> Tensor:
    """Attention of a normed map [H, W, C] of one image, cell by cell."""
    height, width, channels = x.shape
    rows, columns = -(-height // side) * side, -(-width // side) * side
    filled = torch.zeros(rows, columns, channels)
    filled[:height, :width] = x
    q, k, v = layer.attn.qkv(filled).view(rows, columns, 3, 2, -1).unbind(2)
    bias = layer.attn.relative_position_bias_table.view(2 * side - 1, 2 * side - 1, 2)
    out = torch.zeros_like(q)

    def window(cell: int, cells: int) -> tuple[int, bool]:
        """Number of the window after the shift, and whether the shift carried the cell around."""
        moved = (cell - shift) % cells
        return moved // side, cell < shift

    def place(cell: int, cells: int) -> int:
        return (cell - shift) % cells

    grid = [(r, c) for r in range(rows) for c in range(columns)]
    for r, c in grid:
        seen = [
            (s, d) for s, d in grid
            if window(s, rows) == window(r, rows) and window(d, columns) == window(c, columns)
        ]  # fmt: skip
        for head in range(2):
            logits = torch.stack([
                (q[r, c, head] * k[s, d, head]).sum() / q.shape[3] ** 0.5
                + bias[
                    place(r, rows) - place(s, rows) + side - 1,
                    place(c, columns) - place(d, columns) + side - 1,
                    head,
                ]
                for s, d in seen
            ])  # fmt: skip
            values = torch.stack([v[s, d, head] for s, d in seen])
            out[r, c, head] = logits.softmax(0) @ values
    return layer.attn.proj(out.flatten(2))[:height, :width]


def test_a_stage_follows_the_paper() -> None:
    stage = swin_stage.SwinStage(4, 4, 2, 2, 3).eval()
    for value in stage.parameters():
        torch.nn.init.normal_(value)
    x = torch.randn(1, 4, 5, 7)
    y = x[0].permute(1, 2, 0)
    for layer, shift in zip(stage.blocks, (0, 1), strict=True):
        y = y + attended(layer.norm1(y), layer, 3, shift)
        y = y + layer.mlp.fc2(F.gelu(layer.mlp.fc1(layer.norm2(y))))
    torch.testing.assert_close(stage(x)[0], y.permute(2, 0, 1), rtol=1e-3, atol=1e-3)


def test_patches_are_embedded_and_merged() -> None:
    embed, x = swin_stage.PatchEmbed(3, 5, 4).eval(), torch.randn(2, 3, 6, 9)
    filled = torch.zeros(2, 3, 8, 12)
    filled[:, :, :6, :9] = x
    windows = filled.unfold(2, 4, 4).unfold(3, 4, 4)  # B 3 2 3 4 4
    expected = torch.einsum("bchwij,ocij->bohw", windows, embed.proj.weight)
    torch.testing.assert_close(embed(x), expected + embed.proj.bias.view(-1, 1, 1))
    merge = swin_stage.PatchMerging(3, 5).eval()
    torch.nn.init.normal_(merge.norm.weight)
    patch = torch.zeros(3, 2, 2)
    patch[:, :, 0] = x[0, :, 2:4, 8]  # the map's last column, filled with zeros on its right
    # Columns first, then rows, then channels.
    corner = merge.reduction(merge.norm(patch.permute(2, 1, 0).flatten()))
    torch.testing.assert_close(merge(x)[0, :, 1, 4], corner)


def test_contract_and_errors() -> None:
    check_block(swin_stage.SwinStage(4, 4, 2, 2, 3), 4)
    check_block(swin_stage.PatchEmbed(3, 5), 3)
    check_block(swin_stage.PatchMerging(3, 5), 3)
    with pytest.raises(ValueError, match="4 channels are no multiple of 3 heads"):
        swin_stage.SwinStage(4, 4, 2, 3)
    with pytest.raises(ValueError, match="gets 4 and should give 8"):
        swin_stage.SwinStage(4, 8, 2, 2)


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [
        ("PatchEmbed", [96, 4], 32), ("PatchEmbed", [24, 2], 16), ("PatchMerging", [32], 16),
        ("SwinStage", [16, 2, 4, 7], 8),
    ],
)  # fmt: skip
def test_rows(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == given[0]
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
