"""AKConv and ODConv, against sums over single cells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import dynamic
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def value_at(image: Tensor, row: float, column: float) -> Tensor:
    """The bilinear value of one image [C, H, W]; its edge repeats."""
    row = min(max(row, 0), image.shape[1] - 1)
    column = min(max(column, 0), image.shape[2] - 1)
    total = torch.zeros(len(image))
    for r in {math.floor(row), math.ceil(row)}:
        for c in {math.floor(column), math.ceil(column)}:
            total = total + (1 - abs(row - r)) * (1 - abs(column - c)) * image[:, r, c]
    return total


PLACES = {
    3: [(0, 0), (0, 1), (1, 0)], 5: [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)],
    9: [(r, c) for r in range(3) for c in range(3)],
}  # fmt: skip


@pytest.mark.parametrize(("cells", "stride"), [(3, 1), (5, 2), (9, 1)])
def test_akconv_reads_moved_cells(cells: int, stride: int) -> None:
    block = dynamic.AKConv(3, 4, cells, stride).eval()
    randomize(block)
    torch.nn.init.normal_(block.p_conv.weight, std=0.3)
    x = torch.randn(1, 3, 5, 6)
    offsets = F.conv2d(x, block.p_conv.weight, block.p_conv.bias, stride, 1)[0].detach()
    weight = block.conv[0].weight[:, :, :, 0]
    y = torch.zeros(1, 4, *offsets.shape[1:])
    for row in range(y.shape[2]):
        for column in range(y.shape[3]):
            for cell, (down, right) in enumerate(PLACES[cells]):
                place = (
                    row * stride + down + float(offsets[cell, row, column]),
                    column * stride + right + float(offsets[cells + cell, row, column]),
                )
                y[0, :, row, column] += weight[:, :, cell] @ value_at(x[0], *place)
    y = block.conv[1](y)
    torch.testing.assert_close(block(x), y * y.sigmoid(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "stride", "groups"), [(3, 1, 1), (3, 2, 2), (1, 1, 1)])
def test_odconv_mixes_kernels_for_each_image(side: int, stride: int, groups: int) -> None:
    block = dynamic.ODConv(4, 6, side, stride, groups, 3).eval()
    randomize(block)
    x = torch.randn(2, 4, 5, 5)
    images = []
    for image in x:
        hidden = block.fc_bn(block.fc(image.mean((1, 2)).view(1, -1, 1, 1))).clamp(min=0)
        gates = {name: getattr(block, f"{name}_fc")(hidden).flatten() for name in NAMES}
        shares = gates["kernel"].exp() / gates["kernel"].exp().sum()
        kernel = torch.zeros(6, 4 // groups, side, side)
        for share, one in zip(shares, block.weight, strict=True):
            kernel = kernel + share * one * gates["spatial"].sigmoid().view(side, side)
        kernel = kernel * gates["filter"].sigmoid().view(-1, 1, 1, 1)
        seen = image * gates["channel"].sigmoid().view(-1, 1, 1)
        images.append(F.conv2d(seen[None], kernel, None, stride, side // 2, 1, groups))
    y = block.bn(torch.cat(images))
    torch.testing.assert_close(block(x), y * y.sigmoid(), rtol=1e-4, atol=1e-5)


NAMES = ("channel", "filter", "spatial", "kernel")


def test_contract() -> None:
    moved = dynamic.AKConv(4, 6, 5, 2)
    torch.nn.init.normal_(moved.p_conv.weight, std=0.1)
    check_block(moved, 4)
    check_block(dynamic.ODConv(4, 6), 4)
    assert dynamic.ODConv(4, 6).train()(torch.randn(1, 4, 3, 3)).isfinite().all()


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [("AKConv", [32, 3, 2], 16), ("AKConv", [32, 5], 8), ("ODConv", [32, 3, 2], 16)],
)
def test_rows(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == given[0]
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
