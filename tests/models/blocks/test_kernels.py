"""Convolutions of other kinds, against sums over their windows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models.blocks import kernels
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


@pytest.mark.parametrize("stride", [1, 2])
def test_involution_weighs_each_cells_window(stride: int) -> None:
    block = kernels.Involution(32, 32, 3, stride).eval()
    x = torch.randn(2, 32, 4, 6)
    seen = torch.stack([x[..., r::stride, c::stride] for r in range(stride) for c in range(stride)])
    weights = block.conv2(block.conv1(seen.mean(0))).unflatten(1, (2, 9))
    border = F.pad(x, [1] * 4)
    expected = torch.zeros(2, 32, *weights.shape[3:])
    for row in range(expected.shape[2]):
        for column in range(expected.shape[3]):
            top, left = row * stride, column * stride
            window = border[:, :, top : top + 3, left : left + 3].flatten(2)
            for channel in range(32):
                share = weights[:, channel // 16, :, row, column]
                expected[:, channel, row, column] = (share * window[:, channel]).sum(1)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_involution_keeps_channels_and_groups_divide_them() -> None:
    assert kernels.Involution(24, 24).groups == 3  # of 8 channels
    with pytest.raises(ValueError, match="gets 16 and should give 32"):
        kernels.Involution(16, 32)


def test_coordconv_sees_rows_and_columns() -> None:
    block = kernels.CoordConv(2, 5, 3, 2).eval()
    x = torch.randn(2, 2, 3, 5)
    places = torch.zeros(2, 2, 3, 5)
    for row in range(3):
        for column in range(5):
            places[:, 0, row, column] = row - 1
            places[:, 1, row, column] = column / 2 - 1
    torch.testing.assert_close(block(x), block.conv(torch.cat((x, places), 1)))
    assert torch.isfinite(block(torch.randn(1, 2, 1, 1))).all()


def test_dsconv_is_separable() -> None:
    block = kernels.DSConv(3, 5, 3, 2).eval()
    randomize(block)
    x = torch.randn(2, 3, 6, 6)
    # The outer product of both kernels is one dense kernel.
    dense = block.pw.weight[:, :, 0, 0, None, None] * block.dw.weight[:, 0]
    y = block.bn(F.conv2d(x, dense, None, 2, 1))
    torch.testing.assert_close(block(x), y * y.sigmoid(), rtol=1e-4, atol=1e-5)


def test_simconv_has_relu() -> None:
    block = kernels.SimConv(3, 4, 3, 2).eval()
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(block(x), block.bn(block.conv(x)).clamp(min=0))


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [
        ("SimConv", [16, 3, 2], 16), ("DSConv", [16, 3, 2], 16), ("CoordConv", [16, 3, 2], 16),
        ("Involution", [16, 3, 2], 16), ("Involution", [16], 8),
    ],
)  # fmt: skip
def test_rows_of_other_convolutions(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == 16
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
