"""MobileOne's block equals one convolution of summed kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.mobileone import MobileOneBlock
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def folded(weight: Tensor, norm: nn.BatchNorm2d, side: int) -> tuple[Tensor, Tensor]:
    """A kernel of this side and the bias that equal a convolution and its norm in eval mode."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel = F.pad(weight, [(side - weight.shape[2]) // 2] * 4)
    return kernel * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


@pytest.mark.parametrize(
    ("outputs", "side", "stride", "groups", "branches", "parts"),
    [(4, 3, 1, 1, 2, 4), (6, 3, 2, 2, 1, 2), (4, 1, 1, 1, 3, 4), (4, 5, 1, 4, 1, 3)],
)
def test_it_is_one_convolution(
    outputs: int, side: int, stride: int, groups: int, branches: int, parts: int
) -> None:
    block = MobileOneBlock(4, outputs, side, stride, None, 1, groups, branches).eval()
    randomize(block)
    pairs = [folded(part.conv.weight, part.bn, side) for part in block.rbr_conv]
    if block.rbr_scale is not None:
        pairs.append(folded(block.rbr_scale.conv.weight, block.rbr_scale.bn, side))
    if block.rbr_skip is not None:
        alone = torch.eye(4 // groups).repeat(groups, 1)
        pairs.append(folded(alone[:, :, None, None], block.rbr_skip, side))
    assert len(pairs) == parts
    kernel, bias = (sum(values) for values in zip(*pairs, strict=True))
    x = torch.randn(2, 4, 6, 6)
    expected = F.conv2d(x, kernel, bias, stride, side // 2, 1, groups).clamp(min=0)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_contract_and_errors() -> None:
    check_block(MobileOneBlock(4, 4, branches=2), 4)
    check_block(MobileOneBlock(4, 6, 3, 2), 4)
    with pytest.raises(ValueError, match="kernel 4, stride 3, padding 2: takes an odd kernel"):
        MobileOneBlock(4, 6, 4, 3, 2)
    with pytest.raises(ValueError, match="dilation 2: must be 1"):
        MobileOneBlock(4, 6, 3, 1, 1, 2)


@pytest.mark.parametrize(("given", "stride"), [([32, 3, 2, 1], 16), ([32], 8)])
def test_rows(given: list[Any], stride: int) -> None:
    model = DetectionModel(graph_with([-1, 1, "MobileOneBlock", given])).eval()
    assert row_info(model.model[1]).width == 32
    assert read_graph(model.graph).steps[1].stride == model.head.strides[0] == stride
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
