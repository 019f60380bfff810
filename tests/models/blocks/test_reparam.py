"""RepConv equals one convolution of summed kernels; the blocks of it are followed step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import reparam
from models.graph.info import row_info
from models.yolo import DetectionModel
from tests.models.graph.test_layers import graph_with


def randomize(block: nn.Module) -> None:
    for norm in block.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for value in (norm.weight, norm.running_var):
                nn.init.uniform_(value, 0.5, 2.0)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)


def folded(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A kernel of side 3 and the bias that equal a convolution and its norm in eval mode."""
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    kernel = weight if weight.shape[2] == 3 else F.pad(weight, [1] * 4)
    return kernel * scale.view(-1, 1, 1, 1), norm.bias - norm.running_mean * scale


@pytest.mark.parametrize(
    ("kind", "activation", "stride", "outputs"),
    [
        (reparam.RepConv, F.silu, 1, 4), (reparam.RepConv, F.silu, 2, 6),
        (reparam.RepVGGBlock, F.relu, 1, 4), (reparam.RepVGGBlock, F.relu, 1, 6),
    ],
)  # fmt: skip
def test_repconv_is_one_convolution(kind: Any, activation: Any, stride: int, outputs: int) -> None:
    block = kind(4, outputs, 3, stride).eval()
    randomize(block)
    parts = [folded(branch[0].weight, branch[1]) for branch in (block.rbr_dense, block.rbr_1x1)]
    if block.rbr_identity is not None:
        parts.append(folded(torch.eye(4).view(4, 4, 1, 1), block.rbr_identity))
    assert len(parts) == (3 if outputs == 4 else 2)
    kernel, bias = (sum(values) for values in zip(*parts, strict=True))
    x = torch.randn(2, 4, 6, 6)
    expected = activation(F.conv2d(x, kernel, bias, stride, 1))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


def test_other_kernels_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel 5, padding None: takes 3 and 1 only"):
        reparam.RepConv(4, 4, 5)


def test_a_rep_block_is_a_chain() -> None:
    model = DetectionModel(graph_with([-1, 3, "RepBlock", [24]])).eval()
    block, x = model.model[1], torch.randn(2, 16, 5, 5)
    assert row_info(block).width == 24
    assert len(block.block) == 2
    randomize(block)
    y = x
    for rep in (block.conv1, *block.block):
        alone = rep.rbr_identity(y) if y.shape[1] == 24 else 0
        y = (rep.rbr_dense(y) + rep.rbr_1x1(y) + alone).clamp(min=0)
    torch.testing.assert_close(block(x), y)
    assert len(reparam.RepBlock(4, 4).block) == 0


def test_gelan_concatenates_each_step() -> None:
    block = reparam.RepNCSPELAN4(6, 10, 8, 5, 2).eval()
    x = torch.randn(2, 6, 5, 5)
    start = block.cv1(x)
    maps = [start[:, :4], start[:, 4:]]
    for step in (block.cv2, block.cv3):
        csp, conv = step
        deep = csp.cv1(maps[-1])
        for inner in csp.m:
            deep = deep + inner.cv2(F.silu(inner.cv1.conv1(deep) + inner.cv1.conv2(deep)))
        maps.append(conv(csp.cv3(torch.cat((deep, csp.cv2(maps[-1])), 1))))
    torch.testing.assert_close(block(x), block.cv4(torch.cat(maps, 1)))


def test_rcsosa_mixes_channels_and_aggregates() -> None:
    block = reparam.RCSOSA(16, 12, 4).eval()
    randomize(block)
    x = torch.randn(2, 16, 5, 5)
    maps = [block.conv1(x)]
    for chain in (block.sr1, block.sr2):
        assert len(chain) == 2
        y = maps[-1]
        for inner in chain:
            deep = inner.repconv(y[:, 4:])
            y = torch.stack(
                [(y[:, i // 2] if i % 2 == 0 else deep[:, i // 2]) for i in range(8)], 1
            )
        maps.append(y)
    expected = block.conv3(torch.cat(maps, 1))
    torch.testing.assert_close(block(x), expected)
    with pytest.raises(ValueError, match="leave it out"):
        reparam.RCSOSA(16, 16, 2, True)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("RepConv", [32, 3, 2]), ("RepVGGBlock", [32, 3, 2]), ("RCSOSA", [32]),
        ("RepNCSPELAN4", [32, 16, 8, 2]),
    ],
)  # fmt: skip
def test_rows_of_reparametrized_convolutions(name: str, given: list[int]) -> None:
    model = DetectionModel(graph_with([-1, 1, name, given])).eval()
    assert row_info(model.model[1]).width == 32
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
