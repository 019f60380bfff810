"""CARAFE, DySample and EUCB, against sums and samples computed pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import upsample
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.graph.test_layers import graph_with


def reassembled(x: Tensor, logits: Tensor, side: int, scale: int) -> Tensor:
    """For each output pixel the softmax-weighted sum of the window around its source pixel."""
    kernels = F.pixel_shuffle(logits, scale).softmax(1)
    padded = F.pad(x, [side // 2] * 4)
    out = torch.empty(x.shape[0], x.shape[1], *kernels.shape[2:])
    for row in range(out.shape[2]):
        for column in range(out.shape[3]):
            top, left = row // scale, column // scale
            window = padded[:, :, top : top + side, left : left + side].flatten(2)
            out[:, :, row, column] = (window * kernels[:, None, :, row, column]).sum(2)
    return out


@pytest.mark.parametrize("scale", [2, 3])
def test_carafe_sums_windows_of_the_small_map(scale: int) -> None:
    x = torch.randn(2, 8, 4, 3)
    block = upsample.CARAFE(8, 3, 5, 16, scale).eval()
    expected = reassembled(x, block.enc(block.comp(x)), 5, scale)
    torch.testing.assert_close(block(x), expected)
    other = upsample.ProjectedCARAFE(8, 6, 3, scale)
    expected = reassembled(x, other.encoder(other.down(x)), 3, scale)
    torch.testing.assert_close(other(x), other.out(expected))


def bilinear(x: Tensor, row: float, column: float) -> Tensor:
    """The value of a map [C, H, W] at a place in pixels, where 0.5 is the first centre."""
    row = min(max(row - 0.5, 0), x.shape[1] - 1)
    column = min(max(column - 0.5, 0), x.shape[2] - 1)
    top, left = math.floor(row), math.floor(column)
    total = torch.zeros(len(x))
    for r, share in ((top, 1 - row + top), (top + 1, row - top)):
        for c, part in ((left, 1 - column + left), (left + 1, column - left)):
            if share * part:
                total += share * part * x[:, r, c]
    return total


def offsets_of(block: Any, x: Tensor) -> Tensor:
    """[B, 2, groups, scale H, scale W], the learned part, predicted in the style of the block."""
    source = F.pixel_shuffle(x, block.scale) if block.spreads else x
    share = 0.25 if block.scope is None else torch.sigmoid(block.scope(source)) / 2
    found = block.offset(source) * share
    found = found if block.spreads else F.pixel_shuffle(found, block.scale)
    return found.unflatten(1, (2, block.groups))


@pytest.mark.parametrize("style", ["lp", "pl"])
@pytest.mark.parametrize("dyscope", [False, True])
@pytest.mark.parametrize("scale", [2, 3])
def test_dysample_reads_the_map_at_its_places(style: str, dyscope: bool, scale: int) -> None:
    channels = 2 * scale**2 * 3
    block = upsample.DySample(channels, scale, style, 2, dyscope)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.5)
    x = torch.randn(1, channels, 3, 4)
    offsets, found = offsets_of(block, x).detach(), block(x).detach()
    assert found.shape == (1, channels, 3 * scale, 4 * scale)
    for group, part in enumerate(x[0].chunk(2)):
        here = found[0].chunk(2)[group]
        for row in range(3 * scale):
            for column in range(4 * scale):
                dx, dy = offsets[0, :, group, row, column].tolist()
                place = ((row + 0.5) / scale + dy, (column + 0.5) / scale + dx)
                torch.testing.assert_close(
                    here[:, row, column], bilinear(part, *place), rtol=1e-4, atol=1e-5
                )


def test_dysample_starts_as_bilinear_upsampling() -> None:
    x = torch.randn(1, 8, 5, 6)
    block = upsample.DySample(8)
    nn.init.zeros_(block.offset.weight)
    torch.testing.assert_close(block(x), F.interpolate(x, scale_factor=2, mode="bilinear"))


@pytest.mark.parametrize("given", [(6, 2, "lp", 4), (8, 2, "xx"), (12, 5, "pl", 4)])
def test_what_dysample_refuses(given: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match="must be"):
        upsample.DySample(*given)


def test_eucb_repeats_pixels_then_convolves() -> None:
    block = upsample.EUCB(3).eval()
    x = torch.randn(1, 3, 2, 2)
    large = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    conv = block.up_dwc[1].conv
    wide = F.conv2d(large, conv.weight, padding=1, groups=3) / math.sqrt(1 + 1e-5)
    point = block.pwc[0]
    expected = torch.einsum("oi,bihw->bohw", point.weight[:, :, 0, 0], wide.clamp(min=0))
    torch.testing.assert_close(block(x), expected + point.bias.view(1, -1, 1, 1))


@pytest.mark.parametrize(
    ("name", "given", "width", "stride"),
    [
        ("CARAFE", [], 16, 4), ("CARAFE", [3, 5], 16, 4), ("CARAFE", [3, 5, 64, 4], 16, 2),
        ("CARAFE", [32, 3, 2], 32, 4), ("DySample", [], 16, 4), ("DySample", [2, "lp"], 16, 4),
        ("Dy_Sample", [2, "pl", 4, True], 16, 4), ("DySample", [512], 16, 4),
        ("DySample", [512, 4, "lp"], 16, 2), ("EUCB", [], 16, 4),
    ],
)  # fmt: skip
def test_rows_that_upsample(name: str, given: list[Any], width: int, stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == width
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
