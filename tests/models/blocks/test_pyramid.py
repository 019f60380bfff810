"""Pyramids of pools and dilations, against their steps written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import pyramid
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def largest(x: Tensor, side: int) -> Tensor:
    """The maximum of the window of this side around each pixel, by comparison of shifts."""
    reach = side // 2
    border = F.pad(x, [reach] * 4, value=-torch.inf)
    height, width = x.shape[2:]
    shifts = [border[..., r : r + height, c : c + width] for r in range(side) for c in range(side)]
    return torch.stack(shifts).amax(0)


@pytest.mark.parametrize(
    "block",
    [
        pyramid.SPPCSPC(6, 8), pyramid.SPPFCSPC(6, 8), pyramid.GroupedSPPCSPC(8, 8),
        pyramid.SPPCSPC(6, 8, 1, False, 2, 0.25), pyramid.SPPCSP(6, 8),
    ],
)  # fmt: skip
def test_one_half_is_pooled_at_three_sides(block: Any) -> None:
    randomize(block.eval())
    x = torch.randn(2, block.cv1.conv.in_channels, 9, 10)
    deep = block.cv4(block.cv3(block.cv1(x)))
    pools = [deep, largest(deep, 5), largest(deep, 9), largest(deep, 13)]
    both = torch.cat((block.cv6(block.cv5(torch.cat(pools, 1))), block.cv2(x)), 1)
    if isinstance(block, pyramid.SPPCSP):
        both = block.bn(both)
        both = both * torch.tanh(torch.log1p(both.exp()))
    torch.testing.assert_close(block(x), block.cv7(both), rtol=1e-4, atol=1e-5)


def test_groups_and_hidden_channels() -> None:
    assert {part.groups for part in convolutions(pyramid.GroupedSPPCSPC(8, 8))} == {4}
    assert pyramid.SPPCSPC(6, 8, expansion=0.25).cv1.conv.out_channels == 4
    assert pyramid.SPPCSPC(6, 8).cv1.conv.out_channels == 8


def convolutions(block: torch.nn.Module) -> list[torch.nn.Conv2d]:
    return [part for part in block.modules() if isinstance(part, torch.nn.Conv2d)]


def test_spp_elan_pools_one_after_another() -> None:
    block = pyramid.SPPELAN(6, 8, 3).eval()
    x = torch.randn(2, 6, 9, 10)
    y = block.cv1(x)
    pools = torch.cat([y, largest(y, 5), largest(y, 9), largest(y, 13)], 1)
    torch.testing.assert_close(block(x), block.cv5(pools))


def dilated(x: Tensor, conv: torch.nn.Conv2d, rate: int) -> Tensor:
    """A 3x3 convolution of this dilation as nine products of shifted maps."""
    border = F.pad(x, [rate] * 4)
    height, width = x.shape[2:]
    total = torch.zeros(())
    for row in range(3):
        for column in range(3):
            part = border[..., row * rate :, column * rate :][..., :height, :width]
            total = total + torch.einsum("oi,bihw->bohw", conv.weight[..., row, column], part)
    return total if conv.bias is None else total + conv.bias.view(1, -1, 1, 1)


def test_aspp_sees_the_mean_and_four_dilations() -> None:
    block = pyramid.ASPP(3, 4)
    x = torch.randn(2, 3, 8, 8)
    mean = block.conv(x.flatten(2).mean(2)[..., None, None]) * torch.ones(1, 1, 8, 8)
    maps = [mean, block.atrous_block1(x)]
    for rate in (6, 12, 18):
        maps.append(dilated(x, getattr(block, f"atrous_block{rate}"), rate))
    torch.testing.assert_close(block(x), block.conv_1x1_output(torch.cat(maps, 1)))


def test_rfb_adds_a_share_of_three_dilated_branches() -> None:
    block = pyramid.BasicRFB(16, 6, map_reduce=4, scale=0.25).eval()
    randomize(block)
    x = torch.randn(2, 16, 8, 8)
    maps = []
    for branch, rate in ((block.branch0, 2), (block.branch1, 3), (block.branch2, 5)):
        y = x
        for step in branch[:-1]:
            y = step(y)
        maps.append(branch[-1].bn(dilated(y, branch[-1].conv, rate)))
    assert [step.conv.out_channels for step in block.branch2] == [4, 6, 8, 8]
    expected = (block.conv_linear(torch.cat(maps, 1)) / 4 + block.shortcut(x)).clamp(min=0)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [
        ("SPPCSPC", [32], 8), ("SPPFCSPC", [32, 1, False, 1, 0.5, 5], 8), ("SPPFCSPC", [32, 5], 8),
        ("SPPCSPC_group", [32], 8),
        ("SPPCSP", [32], 8), ("SPPELAN", [32, 16], 8), ("ASPP", [32], 8), ("BasicRFB", [32], 8),
        ("BasicRFB", [32, 2], 16),
    ],
)  # fmt: skip
def test_rows_of_pyramids(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == 32
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
