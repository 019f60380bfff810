"""GSConv and its cross-stage blocks, against their formulas channel by channel."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.blocks import slim
from models.graph.info import row_info
from models.graph.read import read_graph
from models.yolo import DetectionModel
from tests.models.graph.test_layers import graph_with


def test_gsconv_mixes_its_halves() -> None:
    block = slim.GSConv(3, 8, 3, 2).eval()
    x = torch.randn(2, 3, 6, 6)
    dense = block.cv1(x)
    cheap = block.cv2(dense)
    found = block(x)
    # Of channels 0..3 (dense) and 4..7 (cheap), the even ones come first.
    order = [dense[:, 0], dense[:, 2], cheap[:, 0], cheap[:, 2]]
    order += [dense[:, 1], dense[:, 3], cheap[:, 1], cheap[:, 3]]
    torch.testing.assert_close(found, torch.stack(order, dim=1))
    assert block.cv2.conv.groups == 4
    assert block.cv2.conv.kernel_size == (5, 5)
    with pytest.raises(ValueError, match="two equal halves of channels, which 7"):
        slim.GSConv(3, 7)


@pytest.mark.parametrize(
    ("kind", "side", "groups"), [(slim.VoVGSCSP, 1, 1), (slim.VoVGSCSPC, 3, 4)]
)
def test_half_of_the_channels_pass_the_bottlenecks(kind: Any, side: int, groups: int) -> None:
    block = kind(6, 8, 2).eval()
    x = torch.randn(2, 6, 5, 5)
    deep = block.cv1(x)
    for inner in block.gsb:
        branch = inner.conv_lighting[1](inner.conv_lighting[0](deep))
        deep = branch + inner.shortcut(deep)
        assert inner.shortcut.conv.kernel_size == (side, side)
        assert inner.shortcut.conv.groups == groups
    torch.testing.assert_close(block(x), block.cv3(torch.cat((block.cv2(x), deep), 1)))


@pytest.mark.parametrize("name", ["VoVGSCSP", "VoVGSCSPC"])
def test_rows_take_repeats_and_attention_inside(name: str) -> None:
    graph = graph_with([-1, 3, name, [32, False, {"inside": "SimAM"}]])
    model = DetectionModel(graph).eval()
    assert row_info(model.model[1]).width == 32
    assert len(model.model[1].gsb) == 3
    assert type(model.model[1].gsb[2].attention).__name__ == "SimAM"
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_a_row_of_gsconv_has_a_stride() -> None:
    graph = read_graph(graph_with([-1, 1, "GSConv", [32, 3, 2]]))
    assert graph.steps[1].stride == 16
    assert DetectionModel(graph_with([-1, 1, "GSConv", [32, 3, 2]])).head.strides == (16,)
