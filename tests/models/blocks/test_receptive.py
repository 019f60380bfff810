"""RFAConv and RFCBAMConv against the paper's map of separated windows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.receptive import RFAConv, RFCBAMConv
from models.yolo import DetectionModel
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def spread(windows: Tensor, side: int) -> Tensor:
    """Windows, [B, C * side^2, H, W], side by side: [B, C, side * H, side * W]."""
    batch, many, height, width = windows.shape
    out = windows.new_zeros(batch, many // side**2, side * height, side * width)
    for place in range(side**2):
        out[:, :, place // side :: side, place % side :: side] = windows[:, place :: side**2]
    return out


def rfa(block: RFAConv, x: Tensor, side: int) -> Tensor:
    powers = block.get_weight(x).exp().unflatten(1, (-1, side**2))
    weights = (powers / powers.sum(2, keepdim=True)).flatten(1, 2)
    return spread(weights * block.generate_feature(x), side)


def rfcbam(block: RFCBAMConv, x: Tensor, side: int) -> Tensor:
    separate = spread(block.generate(x), side)
    pooled = torch.stack((separate.max(1).values, separate.mean(1)), 1)
    return separate * block.get_weight(pooled) * block.se.fc(x.mean((2, 3)))[:, :, None, None]


@pytest.mark.parametrize(("kind", "listing"), [(RFAConv, rfa), (RFCBAMConv, rfcbam)])
@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (1, 1), (5, 2)])
def test_values_and_gradients(kind: Any, listing: Any, side: int, stride: int) -> None:
    block = kind(4, 6, side, stride).double().eval()
    randomize(block)
    x = torch.randn(2, 4, 7, 6, dtype=torch.float64, requires_grad=True)
    conv = block.conv
    plain = F.silu(conv.bn(F.conv2d(listing(block, x, side), conv.conv.weight, stride=side)))
    found = block(x)
    torch.testing.assert_close(found, plain)
    weights = torch.randn_like(found)
    inputs = [x, *block.parameters()]
    gradients = [torch.autograd.grad((out * weights).sum(), inputs) for out in (found, plain)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("name", ["RFAConv", "RFCBAMConv"])
def test_as_a_row_and_fused(name: str) -> None:
    model = DetectionModel(graph_with([-1, 1, name, [32, 3, 2]])).eval()
    assert model.head.strides[0] == 16
    x = torch.rand(1, 3, 64, 64)
    before = model(x)[0]
    model.fuse()
    torch.testing.assert_close(model(x)[0], before, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", [RFAConv, RFCBAMConv])
@pytest.mark.parametrize("kernel", [2, 0, "3"])
def test_kernels_are_odd(kind: Any, kernel: Any) -> None:
    with pytest.raises(ValueError, match="must be an odd number"):
        kind(4, 4, kernel)
