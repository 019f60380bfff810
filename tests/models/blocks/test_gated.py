"""HorNet's and ConvNeXt's blocks, cell by cell and order by order."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import gated
from models.graph.info import row_info
from models.yolo import DetectionModel
from tests.models.graph.test_layers import graph_with


def normed(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    """Layer norm over dimension 1 by its definition."""
    centred = x - x.mean(1, keepdim=True)
    scaled = centred / (centred.square().mean(1, keepdim=True) + 1e-6).sqrt()
    return scaled * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)


def perceptron(x: Tensor, block: Any, gamma: Tensor) -> Tensor:
    hidden = torch.einsum("oi,bihw->bohw", block.pwconv1.weight, x)
    hidden = F.gelu(hidden + block.pwconv1.bias.view(-1, 1, 1))
    out = torch.einsum("oi,bihw->bohw", block.pwconv2.weight, hidden)
    return gamma.view(-1, 1, 1) * (out + block.pwconv2.bias.view(-1, 1, 1))


def strengthen(block: nn.Module) -> None:
    """Random values for norms and gates, which would hide the branches where they start."""
    for name, value in block.named_parameters():
        if "norm" in name or "gamma" in name:
            nn.init.normal_(value)


def test_each_order_doubles_the_channels() -> None:
    block = gated.GnConv(32)
    x = torch.randn(2, 32, 5, 6)
    both = block.proj_in(x)
    y, rest = both[:, :2], block.dwconv(both[:, 2:])
    place = 0
    for order, width in enumerate((2, 4, 8, 16, 32)):
        y = (y if order == 0 else block.pws[order - 1](y)) * rest[:, place : place + width]
        place += width
    assert block.dwconv.groups == place == 62
    torch.testing.assert_close(block(x), block.proj_out(y))
    assert gated.GnConv(24).dims == [3, 6, 12, 24]


def test_horblock_adds_two_branches() -> None:
    block = gated.HorBlock(16, 16)
    assert block.gamma1.tolist() == pytest.approx([1e-6] * 16)
    strengthen(block)
    x = torch.randn(2, 16, 5, 6)
    y = x + block.gamma1.view(-1, 1, 1) * block.gnconv(normed(x, block.norm1))
    y = y + perceptron(normed(y, block.norm2), block, block.gamma2)
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)


def test_convnexts_block_adds_one_branch() -> None:
    block = gated.ConvNextBlock(6)
    strengthen(block)
    x = torch.randn(2, 6, 8, 9)
    branch = F.conv2d(x, block.dwconv.weight, block.dwconv.bias, padding=3, groups=6)
    y = x + perceptron(normed(branch, block.norm), block, block.gamma)
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="gets 6 and should give 8"):
        gated.ConvNextBlock(6, 8)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("HorBlock", []), ("HorBlock", [16]), ("gnconv", []), ("ConvNextBlock", [16]),
        ("ConvNextBlock", []), ("C3HB", [16]), ("CNeB", [16, False]),
    ],
)  # fmt: skip
def test_rows_of_gated_blocks(name: str, given: list[Any]) -> None:
    model = DetectionModel(graph_with([-1, 2, name, given])).eval()
    assert row_info(model.model[1]).width == 16
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_a_row_of_layer_norm() -> None:
    """Whatever its arguments, it norms the channels of each cell."""
    model = DetectionModel(graph_with([-1, 1, "LayerNorm", [96, 1e-6, "channels_first"]])).eval()
    norm, x = model.model[1], torch.randn(2, 16, 3, 4)
    torch.nn.init.normal_(norm.weight)
    y = (x - x.mean(1, keepdim=True)) / (x.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    expected = y * norm.weight.view(-1, 1, 1) + norm.bias.view(-1, 1, 1)
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-5)
