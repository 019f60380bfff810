"""ShuffleNetV2's unit, MobileNetV2's bottleneck and their stem, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import shuffle
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def ready(block: Any) -> Any:
    randomize(block.eval())
    return block


def steps(x: Tensor, layers: Any, stride: int, *acts: Any) -> Tensor:
    """Convolutions and norms in turn, each with its activation; depth-wise ones have the stride."""
    convs = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
    for conv, norm, act in zip(convs, norms, acts, strict=True):
        deep = conv.weight.shape[2] == 3
        options = (stride, 1, 1, len(conv.weight)) if deep else (1, 0, 1, 1)
        x = act(norm(F.conv2d(x, conv.weight, None, *options)))
    return x


def keep(x: Tensor) -> Tensor:
    return x


@pytest.mark.parametrize("stride", [1, 2])
def test_channels_of_both_branches_alternate(stride: int) -> None:
    block = ready(shuffle.ShuffleBlock(8, 8 if stride == 1 else 12, stride))
    x = torch.randn(2, 8, 6, 6)
    if stride == 1:
        first, second = x[:, :4], x[:, 4:]
    else:
        first, second = steps(x, block.branch1, 2, keep, F.relu), x
    second = steps(second, block.branch2, stride, F.relu, keep, F.relu)
    found = block(x)
    torch.testing.assert_close(found[:, ::2], first, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[:, 1::2], second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("ratio", "stride", "outputs"), [(6, 1, 8), (6, 2, 8), (1, 1, 6)])
def test_mobilenetv2s_bottleneck(ratio: int, stride: int, outputs: int) -> None:
    block = ready(shuffle.InvertedResidual(8, outputs, stride, ratio))
    x = 20 * torch.randn(2, 8, 6, 6)  # beyond the 6 of ReLU6
    acts = [F.relu6, F.relu6, keep] if ratio > 1 else [F.relu6, keep]
    y = steps(x, block.conv, stride, *acts)
    y = y + x if stride == 1 and outputs == 8 else y
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-4)


def test_the_stem_pools() -> None:
    block = ready(shuffle.ConvMaxPool(3, 4))
    x = torch.randn(2, 3, 8, 12)
    y = block.conv[1](F.conv2d(x, block.conv[0].weight, None, 2, 1)).clamp(min=0)
    border = F.pad(y, (1, 1, 1, 1), value=-torch.inf)
    torch.testing.assert_close(block(x), border.unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5)))


@pytest.mark.parametrize(
    "block",
    [
        shuffle.ShuffleBlock(8, 8), shuffle.ShuffleBlock(8, 12, 2),
        shuffle.InvertedResidual(8, 8), shuffle.ConvMaxPool(8, 4),
    ],
)  # fmt: skip
def test_contract(block: nn.Module) -> None:
    check_block(block, 8)


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [
        ("conv_bn_relu_maxpool", [32], 32), ("Conv_maxpool", [32], 32),
        ("Shuffle_Block", [32, 2], 16), ("ShuffleNetV2", [16, 1], 8),
        ("InvertedResidual", [32, 2, 6], 16), ("MobileNetV3", [32, 64, 5, 2, 1, 1], 16),
        ("MobileNetV3_InvertedResidual", [32, 16, 3, 1, 0, 0], 8),
    ],
)  # fmt: skip
def test_rows_of_light_backbones(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == given[0]
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_errors() -> None:
    with pytest.raises(ValueError, match="8 to 12 channels: the outputs must be even, and"):
        shuffle.ShuffleBlock(8, 12)
    with pytest.raises(ValueError, match="stride 16: must be 1 or 2"):
        shuffle.InvertedResidual(8, 16, 16, 3)
