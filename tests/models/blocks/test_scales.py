"""Joins of maps of several sizes, against the same sums computed cell by cell."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import scales
from models.graph.info import row_info
from models.graph.read import read_graph
from models.lint.fix import lint_content
from models.yolo import DetectionModel
from tests.models.blocks.test_fuse import joined, maps
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with
from utils.errors import UserError


def pyramid(*channels: int) -> list[Tensor]:
    """Maps of 8x12 cells, 4x6 and so on."""
    return [torch.randn(2, count, 8 >> i, 12 >> i) for i, count in enumerate(channels)]


def aligned(x: Tensor, height: int, width: int) -> Tensor:
    """Bilinear values at places from the first cell to the last."""

    def along(cells: int, wanted: int) -> Tensor:
        places = torch.arange(wanted) * (cells - 1) / (wanted - 1)
        return (1 - (places[:, None] - torch.arange(cells)).abs()).clamp(min=0)

    rows, columns = along(x.shape[2], height), along(x.shape[3], width)
    return torch.einsum("rh,bchw,sw->bcrs", rows, x, columns)


def test_sdi_multiplies_maps_at_the_size_of_the_first() -> None:
    fine, middle, coarse = pyramid(3, 4, 5)
    block = scales.SDI([4, 3, 5])
    means = torch.stack([fine[..., r::2, c::2] for r in (0, 1) for c in (0, 1)]).mean(0)
    parts = [middle, means, aligned(coarse, 4, 6)]
    expected = torch.ones(())
    for conv, part in zip(block.convs, parts, strict=True):
        expected = expected * F.conv2d(part, conv.weight, conv.bias, padding=1)
    torch.testing.assert_close(block([middle, fine, coarse]), expected)


@pytest.mark.parametrize("mode", scales.MODES)
def test_fusion_joins_maps_in_five_ways(mode: str) -> None:
    block = scales.Fusion([4, 4], mode).eval()
    randomize(block)
    a, b = given = maps(2, 4)
    if mode == "concat":
        expected = torch.cat((a, b), 1)
    elif mode == "bifpn":
        block.fusion_weight.data = torch.tensor([3.0, 1.0])
        expected = (3 * a + b) / 4.0001
    elif mode == "SDI":
        expected = block.SDI.convs[0](a) * block.SDI.convs[1](b)
    else:
        a, b = block.fusion_conv[0](a), block.fusion_conv[1](b)
        expected = a + b
        if mode == "adaptive":
            logits = block.fusion_adaptive(torch.cat((a, b), 1))
            share = (logits[:, :1] - logits[:, 1:]).sigmoid()
            expected = share * a + (1 - share) * b
    assert block.out_channels == expected.shape[1]
    torch.testing.assert_close(block(given), expected)


@pytest.mark.parametrize(
    ("name", "given", "order", "width", "stride"),
    [
        ("ScalSeq", [32], [0, 1, 2], 16, 8), ("Zoom_cat", [], [0, 1, 2], 32, 16),
        ("SDI", [], [1, 0, 2], 8, 16), ("Fusion", ["SDI"], [2, 1, 0], 16, 32),
    ],
)  # fmt: skip
def test_rows_that_join_sizes_have_the_stride_of_their_map(
    name: str, given: list[Any], order: list[int], width: int, stride: int
) -> None:
    rows = [[-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [24, 3, 2]], [order, 1, name, given]]
    graph = {**graph_with(*rows), "width_multiple": 0.5}
    model = DetectionModel(graph).eval()
    assert row_info(model.model[3]).width == width
    assert model.head.strides == (stride,)
    assert read_graph(model.graph).steps[3].stride == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_errors_and_no_finding_about_sizes() -> None:
    with pytest.raises(UserError, match=r"Zoom_cat \[\]: reads 3 maps, not 2"):
        joined("Zoom_cat", [], [16], [16])
    with pytest.raises(UserError, match=r"Fusion .'sum'.: mode 'sum': must be one of weight,"):
        joined("Fusion", ["sum"], [16], [16])
    with pytest.raises(UserError, match=r"Fusion .'bifpn'.: from \[1, 2\]: maps differ in size"):
        joined("Fusion", ["bifpn"], [16], [16, 3, 2])
    rows = [[-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [[2, 1, 0], 1, "SDI", []]]
    assert lint_content(graph_with(*rows)) == []
