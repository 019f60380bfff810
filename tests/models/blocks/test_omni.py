"""ODConv2d against one convolution for each image."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.omni import ODConv, ODConv2d
from models.yolo import DetectionModel
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def listing(block: ODConv2d, x: Tensor) -> Tensor:
    """Each image's kernel is the sum of the paper's equation 2, with all four weights in it."""
    gates, side = block.attention, block.weight.shape[4]
    pooled = F.relu(gates.bn(gates.fc(x.mean((2, 3), keepdim=True))))
    outs = []
    for image, z in zip(x, pooled, strict=True):
        share = gates.kernel_fc(z).flatten().softmax(0) if gates.kernel_fc else torch.ones(1)
        taps = torch.ones(side, side, dtype=x.dtype)
        if gates.spatial_fc:
            taps = gates.spatial_fc(z).sigmoid().view(side, side)
        inputs, outputs = (
            layer(z).sigmoid().flatten() for layer in (gates.channel_fc, gates.filter_fc)
        )
        kernel = sum(a * w for a, w in zip(share.to(x.dtype), block.weight, strict=True)) * taps
        parts = []
        for group, part in enumerate(kernel.chunk(block.groups)):
            wide = part.shape[1]
            seen = slice(group * wide, (group + 1) * wide)
            weighted = part * inputs[seen, None, None]
            parts.append(F.conv2d(image[seen][None], weighted, **block.steps))  # type: ignore[arg-type]
        outs.append(torch.cat(parts, 1) * outputs[:, None, None])
    return torch.cat(outs)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "kernels": 2},
        {"kernel": 1, "kernels": 1},
        {"groups": 2, "dilation": 2},
        {"padding": 0},
    ],
)
def test_values_and_gradients(options: dict[str, Any]) -> None:
    block = ODConv2d(4, 6, **options).double()
    randomize(block)
    x = torch.randn(3, 4, 6, 7, dtype=torch.float64, requires_grad=True)
    found, plain = block(x), listing(block, x)
    torch.testing.assert_close(found, plain)
    weights = torch.randn_like(found)
    inputs = [x, *block.parameters()]
    gradients = [torch.autograd.grad((out * weights).sum(), inputs) for out in (found, plain)]
    torch.testing.assert_close(*gradients)


def test_a_single_image_in_train_mode() -> None:
    assert ODConv2d(4, 4)(torch.randn(1, 4, 3, 3)).isfinite().all()


@pytest.mark.parametrize("name", ["ODConv", "ODConv2d"])
def test_as_a_row_and_fused(name: str) -> None:
    model = DetectionModel(graph_with([-1, 1, name, [32, 3, 2]])).eval()
    assert model.head.strides[0] == 16
    x = torch.rand(2, 3, 64, 64)
    before = model(x)[0]
    model.fuse()
    torch.testing.assert_close(model(x)[0], before, rtol=1e-4, atol=1e-3)


def test_odconv_has_norm_and_activation() -> None:
    block = ODConv(4, 6, 3).eval()
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(block(x), F.silu(block.bn(block.conv(x))))  # type: ignore[misc]
