"""EfficientNetV2's blocks, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import efficient
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def gated(x: Tensor, gate: Any) -> Tensor:
    down, up = gate.conv_reduce, gate.conv_expand
    hidden = F.silu(x.flatten(2).mean(2) @ down.weight[:, :, 0, 0].T + down.bias)
    return x * torch.sigmoid(hidden @ up.weight[:, :, 0, 0].T + up.bias)[..., None, None]


def convolved(x: Tensor, step: Any, stride: int = 1, groups: int = 1) -> Tensor:
    weight = step[0].weight
    y = F.conv2d(x, weight, None, stride, weight.shape[2] // 2, groups=groups)
    scale = step[1].weight / (step[1].running_var + 1e-3).sqrt()
    bias = step[1].bias - step[1].running_mean * scale
    return y * scale.view(-1, 1, 1) + bias.view(-1, 1, 1)


@pytest.mark.parametrize(
    ("expansion", "stride", "outputs", "share"),
    [(4, 1, 8, 0.25), (4, 2, 8, 0.25), (1, 1, 6, 0.25), (4, 1, 8, 0)],
)
@pytest.mark.parametrize("fused", [False, True])
def test_both_bottlenecks(
    expansion: int, stride: int, outputs: int, share: float, fused: bool
) -> None:
    kind: Any = efficient.FusedMBConv if fused else efficient.MBConv
    block = kind(8, outputs, 3, stride, expansion, share).eval()
    randomize(block)
    x = torch.randn(2, 8, 6, 6)
    todo, y = list(block.steps), x
    if fused and expansion > 1:
        y = F.silu(convolved(y, todo.pop(0), stride))
    elif not fused:
        y = F.silu(convolved(y, todo.pop(0))) if expansion > 1 else y
        y = F.silu(convolved(y, todo.pop(0), stride, y.shape[1]))
    if share:
        assert todo[0].conv_reduce.out_channels == 2
        y = gated(y, todo.pop(0))
    y = convolved(y, todo.pop(0))
    y = F.silu(y) if fused and expansion == 1 else y
    y = y + x if stride == 1 and outputs == 8 else y
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-4)
    assert not todo


def test_the_stem_and_the_contract() -> None:
    stem = efficient.EfficientStem(3, 8, 3, 2).eval()
    randomize(stem)
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(stem(x), F.silu(convolved(x, stem, 2)), rtol=1e-4, atol=1e-5)
    check_block(stem, 3)
    check_block(efficient.MBConv(8, 8), 8)
    check_block(efficient.FusedMBConv(8, 8, 3, 2, 4, 0.25), 8)


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [
        ("stem", [24, 3, 2], 16), ("FusedMBConv", [24, 3, 1, 1, 0], 8),
        ("FusedMBConv", [48, 3, 2, 4, 0], 16), ("MBConv", [24, 3, 2, 4, 0.25], 16),
    ],
)  # fmt: skip
def test_rows(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == given[0]
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
