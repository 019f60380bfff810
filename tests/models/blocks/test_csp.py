"""CSPStage and BottleneckCSP2, step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models.blocks import csp
from models.graph.info import row_info
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.graph.test_layers import graph_with


def test_csp_stage_concatenates_all_links() -> None:
    block = csp.CSPStage(6, 9, 2).eval()
    randomize(block)
    x = torch.randn(2, 6, 5, 5)
    maps = [block.conv1(x)]
    y = block.conv2(x)
    for link in block.convs:
        rep = link.conv2
        y = y + link.conv1(F.silu(rep.rbr_dense(y) + rep.rbr_1x1(y)))
        maps.append(y)
    assert [part.shape[1] for part in maps] == [4, 5, 5]
    torch.testing.assert_close(block(x), block.conv3(torch.cat(maps, 1)))


@pytest.mark.parametrize("shortcut", [False, True])
def test_bottleneck_csp2_has_one_norm_over_both_halves(shortcut: bool) -> None:
    block = csp.BottleneckCSP2(6, 8, 2, shortcut).eval()
    randomize(block)
    x = block.cv1(torch.randn(2, 6, 5, 5))
    y = x
    for inner in block.m:
        y = inner.cv2(inner.cv1(y)) + (y if shortcut else 0)
    straight = torch.einsum("oi,bihw->bohw", block.cv2.weight[..., 0, 0], x)
    both = block.bn(torch.cat((y, straight), 1))
    expected = block.cv3(both * torch.tanh(torch.log1p(both.exp())))
    block.cv1 = torch.nn.Identity()
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [csp.ResCSPB, csp.ResCSPC, csp.ResXCSPB, csp.ResXCSPC])
@pytest.mark.parametrize("shortcut", [False, True])
def test_yolov7s_blocks_of_residual_necks(kind: Any, shortcut: bool) -> None:
    block = kind(6, 64, 2, shortcut).eval()
    randomize(block)
    x = torch.randn(2, 6, 5, 5)
    is_b, grouped = kind in (csp.ResCSPB, csp.ResXCSPB), kind in (csp.ResXCSPB, csp.ResXCSPC)
    hidden = 64 if is_b else 32
    start = y = block.cv1(x)
    for neck in block.m:
        weight = neck.cv2.conv.weight
        assert weight.shape[:2] == ((hidden, hidden // 32) if grouped else (hidden // 2,) * 2)
        z = neck.cv2.bn(F.conv2d(neck.cv1(y), weight, padding=1, groups=32 if grouped else 1))
        y = neck.cv3(F.silu(z)) + (y if shortcut else 0)
    if is_b:
        expected = block.cv3(torch.cat((y, block.cv2(start)), 1))
    else:
        expected = block.cv4(torch.cat((block.cv3(y), block.cv2(x)), 1))
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)
    check_block(block, 6)


ROWS = [
    ("CSPStage", "convs"), ("BottleneckCSP2", "m"), ("ResCSPB", "m"), ("ResCSPC", "m"),
    ("ResXCSPB", "m"), ("ResXCSPC", "m"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inner"), ROWS)
def test_rows_take_repeats_and_attention_inside(name: str, inner: str) -> None:
    given: list[Any] = [64, {"inside": "SimAM"}]
    model = DetectionModel(graph_with([-1, 3, name, given])).eval()
    assert row_info(model.model[1]).width == 64
    assert len(getattr(model.model[1], inner)) == 3
    assert type(getattr(model.model[1], inner)[0].attention).__name__ == "SimAM"
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
