"""Blocks of light backbones, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import mobile
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def hard_swish(x: Tensor) -> Tensor:
    return x * (x + 3).clamp(0, 6) / 6


def squeezed(x: Tensor, gate: Any) -> Tensor:
    """x times the hard sigmoid of a perceptron of its means."""
    first, second = gate.fc[0], gate.fc[2]
    hidden = (x.flatten(2).mean(2) @ first.weight.T + first.bias).clamp(min=0)
    return x * ((hidden @ second.weight.T + second.bias) / 6 + 0.5).clamp(0, 1)[..., None, None]


@pytest.mark.parametrize(("hidden", "outputs"), [(8, 8), (8, 6), (12, 8), (12, 6)])
@pytest.mark.parametrize("hard", [False, True])
def test_mobilenets_bottleneck(hidden: int, outputs: int, hard: bool) -> None:
    block = mobile.MobileNetBlock(8, outputs, hidden, 5, 1, True, hard).eval()
    randomize(block)
    x = torch.randn(2, 8, 6, 6)
    act, steps = (hard_swish if hard else F.relu), block.conv
    if hidden == 8:
        deep, norm, _, gate, last, end = steps
        y = squeezed(act(norm(F.conv2d(x, deep.weight, padding=2, groups=8))), gate)
    else:
        wide, first, _, deep, norm, gate, _, last, end = steps
        y = act(first(wide(x)))
        y = act(squeezed(norm(F.conv2d(y, deep.weight, padding=2, groups=12)), gate))
    y = end(last(y)) + (x if outputs == 8 else 0)
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("gated", [False, True])
def test_lcnets_convolution(gated: bool) -> None:
    block = mobile.DepthSepConv(8, 6, 3, 2, gated).eval()
    randomize(block)
    x = torch.randn(2, 8, 6, 6)
    deep, norm, _, gate, last, end, _ = block.conv
    y = hard_swish(norm(F.conv2d(x, deep.weight, None, 2, 1, groups=8)))
    y = squeezed(y, gate) if gated else y
    torch.testing.assert_close(block(x), hard_swish(end(last(y))), rtol=1e-4, atol=1e-5)


def test_the_stem_has_hard_swish() -> None:
    block = mobile.HardswishConv(3, 4, 2).eval()
    x = torch.randn(2, 3, 6, 6)
    y = block.bn(F.conv2d(x, block.conv.weight, None, 2, 1))
    torch.testing.assert_close(block(x), hard_swish(y))


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("conv_bn_hswish", [16, 2]), ("MobileNet_Block", [16, 64, 5, 2, 1, 1]),
        ("MobileNet_Block", [16, 16, 3, 2, 0, 0]), ("DepthSepConv", [16, 3, 2, True]),
    ],
)  # fmt: skip
def test_rows_of_light_blocks(name: str, given: list[Any]) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == 16
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == 16
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
