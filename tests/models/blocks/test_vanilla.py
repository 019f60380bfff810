"""VanillaNet's block, with the activation summed cell by cell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models.blocks import vanilla
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


@pytest.mark.parametrize("stride", [1, 2])
def test_the_activation_sums_shifted_ones(stride: int) -> None:
    block = vanilla.VanillaBlock(3, 4, 2, stride).eval()
    randomize(block)
    x = torch.randn(2, 3, 6, 8)
    y = block.conv2(block.conv1(x))
    y = y if stride == 1 else y.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    border = F.pad(y.clamp(min=0), [2] * 4)
    total = torch.zeros_like(y)
    for row in range(5):
        for column in range(5):
            shifted = border[:, :, row : row + y.shape[2], column : column + y.shape[3]]
            total = total + block.act.weight[:, 0, row, column].view(-1, 1, 1) * shifted
    torch.testing.assert_close(block(x), block.act.bn(total), rtol=1e-4, atol=1e-5)


def test_contract() -> None:
    check_block(vanilla.VanillaBlock(3, 4, 2, 1), 3)
    check_block(vanilla.VanillaBlock(3, 4), 3, sizes=[(7, 5), (2, 3)])


@pytest.mark.parametrize(("given", "stride"), [([32], 16), ([32, 3, 1], 8), ([32, 3, 2], 16)])
def test_rows(given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, "vanillanetBlock", given])).eval()
    assert row_info(model.model[1]).width == 32
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
