"""Blocks that halve the map, against loops over its patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.blocks import downsample
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def patches(x: Tensor) -> Tensor:
    """[B, C, H/2, W/2, 4]: the corners of each patch, rows alternating fastest."""
    out = torch.empty(*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2, 4)
    for row in range(out.shape[2]):
        for column in range(out.shape[3]):
            patch = x[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            out[:, :, row, column] = patch.transpose(2, 3).flatten(2)
    return out


def test_space_to_depth_keeps_every_pixel() -> None:
    x = torch.randn(2, 3, 4, 6)
    found = downsample.SpaceToDepth(3)(x)
    assert torch.equal(found, patches(x).permute(0, 4, 1, 2, 3).flatten(1, 2))
    block = downsample.SPDConv(3, 5).eval()
    torch.testing.assert_close(block(x), block.conv(found))
    assert block.conv.conv.stride == (1, 1)
    with pytest.raises(ValueError, match="dimension 1, not 2"):
        downsample.SpaceToDepth(3, 2)


def test_yolov7s_pool_and_transition() -> None:
    x = torch.randn(2, 3, 4, 6)
    largest = patches(x).amax(4)
    assert torch.equal(downsample.MP()(x), largest)
    block = downsample.V7DownSampling(3, 8).eval()
    first, second = block(x).chunk(2, dim=1)
    torch.testing.assert_close(first, block.maxpool[1](largest))
    fine = block.conv[0](x)
    block.conv[1].conv.stride = (1, 1)
    torch.testing.assert_close(second, block.conv[1](fine)[..., ::2, ::2])


def test_adown_takes_means_then_a_convolution_and_a_pool() -> None:
    x = torch.randn(2, 4, 6, 8)
    block = downsample.ADown(4, 6).eval()
    found = block(x)
    corners = [x[..., r : 5 + r, c : 7 + c] for r in (0, 1) for c in (0, 1)]
    first, second = torch.stack(corners).mean(0).chunk(2, dim=1)
    border = nn.functional.pad(second, [1] * 4, value=-torch.inf)
    pooled = torch.stack(
        [border[..., r : r + 5 : 2, c : c + 7 : 2] for r in range(3) for c in range(3)]
    ).amax(0)
    block.cv1.conv.stride = (1, 1)
    torch.testing.assert_close(found[:, :3], block.cv1(first)[..., ::2, ::2])
    torch.testing.assert_close(found[:, 3:], block.cv2(pooled))


@pytest.mark.parametrize("dilation", [2, 3])
def test_cgnets_block_sees_neighbours_surroundings_and_all(dilation: int) -> None:
    block = downsample.ContextGuidedDown(3, 6, dilation, 2).eval()
    randomize(block)
    nn.init.normal_(block.act.weight)
    x = block.conv1x1(torch.randn(2, 3, 9, 12))
    assert x.shape == (2, 6, 5, 6)
    near = nn.functional.conv2d(x, block.F_loc.weight, None, 1, 1, 1, 6)
    far = nn.functional.conv2d(x, block.F_sur.weight, None, 1, dilation, dilation, 6)
    norm, y = block.bn, torch.cat((near, far), 1)
    y = (y - norm.running_mean.view(-1, 1, 1)) / (norm.running_var + 1e-3).sqrt().view(-1, 1, 1)
    y = y * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    y = block.reduce(torch.where(y > 0, y, block.act.weight.view(-1, 1, 1) * y))
    first, _, second, _ = block.F_glo
    assert first.out_features == 3
    gate = second(first(y.flatten(2).mean(2)).clamp(min=0)).sigmoid()
    block.conv1x1 = nn.Identity()
    torch.testing.assert_close(block(x), y * gate[..., None, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(4, 6), (5, 3)])
def test_lae_weighs_four_maps_by_the_quarters_of_a_mean(size: tuple[int, int]) -> None:
    block = downsample.LAE(8, 8, 4).eval()
    randomize(block)
    assert block.ds_conv.conv.groups == 2
    x = torch.randn(2, 8, *size)
    border = nn.functional.pad(x, [1] * 4)
    means = border.unfold(2, 3, 1).unfold(3, 3, 1).sum((4, 5)) / 9
    logits, maps = block.attention[1](means), block.ds_conv(x)
    height, width = maps.shape[2:]
    for row in range(height):
        for column in range(width):
            rows = [min(row + half * height, size[0] - 1) for half in (0, 1)]
            columns = [min(column + half * width, size[1] - 1) for half in (0, 1)]
            cells = torch.stack([logits[:, :, r, c] for r in rows for c in columns], 1).exp()
            four = maps[:, :, row, column].view(2, 4, 8)
            expected = (cells / cells.sum(1, keepdim=True) * four).sum(1)
            found = block(x)[:, :, row, column]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_contract() -> None:
    check_block(downsample.ContextGuidedDown(3, 6), 3)
    check_block(downsample.LAE(8), 8)
    with pytest.raises(ValueError, match="gets 8 and should give 6"):
        downsample.LAE(8, 6)


@pytest.mark.parametrize(
    ("name", "given", "width", "stride"),
    [
        ("space_to_depth", [1], 64, 16), ("SPD", [], 64, 16), ("ReOrg", [], 64, 16),
        ("SPDConv", [32], 32, 16), ("MP", [], 16, 16), ("MP", [4], 16, 32),
        ("ContextGuidedBlock_Down", [32], 32, 16), ("LAE", [], 16, 16), ("LAE", [16], 16, 16),
        ("V7DownSampling", [32], 32, 16), ("ADown", [32], 32, 16),
    ],
)  # fmt: skip
def test_rows_that_halve_the_map(name: str, given: list[Any], width: int, stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == width
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
