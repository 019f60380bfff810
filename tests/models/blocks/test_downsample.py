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


@pytest.mark.parametrize(
    ("name", "given", "width", "stride"),
    [
        ("space_to_depth", [1], 64, 16), ("SPD", [], 64, 16), ("ReOrg", [], 64, 16),
        ("SPDConv", [32], 32, 16), ("MP", [], 16, 16), ("MP", [4], 16, 32),
        ("V7DownSampling", [32], 32, 16), ("ADown", [32], 32, 16),
    ],
)  # fmt: skip
def test_rows_that_halve_the_map(name: str, given: list[Any], width: int, stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == width
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
