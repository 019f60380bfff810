"""LDConv against loops over taps and cells."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.linear_deform import LDConv
from models.yolo import DetectionModel
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def hat(places: Tensor, length: int) -> Tensor:
    """The share of each of `length` cells at places, which the border holds back."""
    cells = torch.arange(length, dtype=places.dtype)
    return (1 - (places.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0)


def listing(block: LDConv, x: Tensor) -> Tensor:
    offsets = block.p_conv(x)
    points, (height, width) = block.points, x.shape[2:]
    columns = round(points**0.5)
    rows_of, columns_of = (block.stride * torch.arange(n, dtype=x.dtype) for n in offsets.shape[2:])
    cells = [(place // columns, place % columns) for place in range(points)]
    conv, norm, _ = block.conv
    total = 0
    for tap, (down, across) in enumerate(cells):
        rows = rows_of[:, None] + down + offsets[:, tap]
        over = columns_of + across + offsets[:, points + tap]
        near = torch.einsum("bchw,byxh,byxw->bcyx", x, hat(rows, height), hat(over, width))
        total = total + torch.einsum("bcyx,oc->boyx", near, conv.weight[:, :, tap, 0])
    if conv.bias is not None:
        total = total + conv.bias[:, None, None]
    return F.silu(norm(total))


@pytest.mark.parametrize(
    ("points", "stride", "bias"), [(5, 1, False), (3, 2, True), (9, 1, False), (1, 1, True)]
)
def test_values_and_gradients(points: int, stride: int, bias: bool) -> None:
    block = LDConv(3, 4, points, stride, bias).double().eval()
    randomize(block)
    for parameter in block.p_conv.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    found, plain = block(x), listing(block, x)
    torch.testing.assert_close(found, plain)
    weights = torch.randn_like(found)
    inputs = [x, *block.parameters()]
    gradients = [torch.autograd.grad((out * weights).sum(), inputs) for out in (found, plain)]
    torch.testing.assert_close(*gradients)


def test_without_offsets_it_is_a_convolution_of_the_cells_below_and_on_the_right() -> None:
    block = LDConv(2, 3, 4).eval()
    x = torch.randn(1, 2, 4, 5)
    kernel = block.conv[0].weight.reshape(3, 2, 2, 2)
    border = F.pad(x, (0, 1, 0, 1), mode="replicate")
    torch.testing.assert_close(block(x), F.silu(block.conv[1](F.conv2d(border, kernel))))


@pytest.mark.parametrize("name", ["LDConv", "AKConv"])
def test_as_a_row(name: str) -> None:
    model = DetectionModel(graph_with([-1, 1, name, [32, 5, 2]])).eval()
    assert model.head.strides[0] == 16
    assert model.model[1].points == 5


@pytest.mark.parametrize("points", [0, 1.5, True])
def test_impossible_points(points: Any) -> None:
    with pytest.raises(ValueError, match="must be a whole number"):
        LDConv(2, 2, points)
