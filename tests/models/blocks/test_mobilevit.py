"""MobileViT's blocks, with attention place by place of the patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks import mobilevit
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def layer_of(x: Tensor, layer: Any) -> Tensor:
    """One transformer layer over tokens [N, C] of one image."""
    qkv = F.layer_norm(x, x.shape[1:], layer.norm1.weight, layer.norm1.bias) @ layer.to_qkv.weight.T
    query, key, value = qkv.view(len(x), 3, 4, 8).unbind(1)
    heads = []
    for head in range(4):
        weights = (query[:, head] @ key[:, head].T / 8**0.5).softmax(1)
        heads.append(weights @ value[:, head])
    x = x + layer.to_out(torch.cat(heads, 1))
    first, _, last = layer.net
    return x + last(F.silu(first(layer.norm2(x))))


@pytest.mark.parametrize("size", [(4, 6), (3, 5)])
def test_places_of_the_patches_attend_apart(size: tuple[int, int]) -> None:
    block = mobilevit.MobileViTBlock(6, 6, 8, 2, 3, 2, 12).eval()
    randomize(block)
    for value in block.transformer.parameters():
        torch.nn.init.normal_(value, std=0.5)
    x = torch.randn(1, 6, *size)
    y = F.pad(block.conv2(block.conv1(x)), (0, size[1] % 2, 0, size[0] % 2), mode="replicate")
    for row in (0, 1):
        for column in (0, 1):
            part = y[0, :, row::2, column::2]
            tokens = part.flatten(1).T
            for layer in block.transformer:
                tokens = layer_of(tokens, layer)
            y[0, :, row::2, column::2] = tokens.T.reshape(part.shape)
    y = block.conv3(y[:, :, : size[0], : size[1]])
    expected = block.conv4(torch.cat((y, x), 1))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("expansion", "stride", "outputs"), [(4, 1, 8), (2, 2, 8), (1, 1, 6)])
def test_mv2s_bottleneck(expansion: int, stride: int, outputs: int) -> None:
    block = mobilevit.MV2Block(8, outputs, stride, expansion).eval()
    randomize(block)
    x = torch.randn(2, 8, 6, 6)
    *start, deep, end = block.conv
    y = start[0](x) if expansion > 1 else x
    y = F.silu(deep.bn(F.conv2d(y, deep.conv.weight, None, stride, 1, groups=y.shape[1])))
    y = end.bn(end.conv(y)) + (x if stride == 1 and outputs == 8 else 0)
    assert len(start) == (expansion > 1)
    torch.testing.assert_close(block(x), y, rtol=1e-4, atol=1e-5)


def test_contract() -> None:
    check_block(mobilevit.MobileViTBlock(6, 6, 8, 1), 6)
    check_block(mobilevit.MV2Block(8, 8), 8)
    with pytest.raises(ValueError, match="gets 6 and should give 8"):
        mobilevit.MobileViTBlock(6, 8, 8, 1)


@pytest.mark.parametrize(
    ("name", "given", "stride"),
    [
        ("MV2Block", [32, 1, 2], 8), ("MV2Block", [32, 2, 4], 16),
        ("MobileViTBlock", [16, 96, 2, 3, 2, 192], 8),
    ],
)  # fmt: skip
def test_rows(name: str, given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == given[0]
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
