"""Gold-YOLO's neck, against sums that are computed cell by cell, and as rows of a whole graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.blocks import gold
from models.graph.info import row_info
from models.graph.read import read_graph
from models.lint.fix import lint_content
from models.yolo import DetectionModel
from tests.models.blocks.contract import check_block
from tests.models.blocks.test_reparam import randomize
from tests.models.blocks.test_scales import pyramid
from tests.models.graph.test_layers import graph_with
from utils.errors import UserError


def means(x: Tensor, times: int = 2) -> Tensor:
    return x.unfold(2, times, times).unfold(3, times, times).mean((4, 5))


def doubled(x: Tensor) -> Tensor:
    """Twice the size: each value is 3/4 of its cell and 1/4 of the nearest neighbour's."""
    for dim in (2, 3):
        before = torch.cat((x.narrow(dim, 0, 1), x.narrow(dim, 0, x.shape[dim] - 1)), dim)
        after = torch.cat((x.narrow(dim, 1, x.shape[dim] - 1), x.narrow(dim, -1, 1)), dim)
        pair = torch.stack((0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after), dim + 1)
        x = pair.flatten(dim, dim + 1)
    return x


def ready(block: Any) -> Any:
    randomize(block.eval())
    return block


def test_four_maps_meet_at_the_third() -> None:
    a, b, c, d = given = [torch.randn(2, n, 8 >> i, 8 >> i) for i, n in enumerate((3, 4, 5, 2))]
    expected = torch.cat((means(a, 4), means(b), c, doubled(d)), 1)
    torch.testing.assert_close(gold.SimFusion4([3, 4, 5, 2])(given), expected)


def test_three_maps_meet_at_the_second() -> None:
    block = ready(gold.SimFusion3([3, 4, 6], 6))
    a, b, c = given = pyramid(3, 4, 6)
    parts = [block.cv1(means(a)), block.cv2(b), doubled(c)]
    y = block.cv_fuse.bn(block.cv_fuse.conv(torch.cat(parts, 1))).clamp(min=0)
    torch.testing.assert_close(block(given), y)
    assert block.cv1(means(a)).amin() == 0  # ReLU


def test_fusion_gives_the_sum_of_the_parts() -> None:
    block = ready(gold.IFM(6, [4, 3], 5, 2))
    start, *deep, end = block.conv
    x = torch.randn(2, 6, 4, 4)
    y = start(x)
    for rep in deep:
        y = (rep.rbr_dense(y) + rep.rbr_1x1(y) + rep.rbr_identity(y)).clamp(min=0)
    torch.testing.assert_close(block(x), end(y))
    assert block.out_channels == 7
    assert len(gold.IFM(6, [4]).conv) == 5


@pytest.mark.parametrize("coarser", [False, True])
def test_injection_gates_the_local_map(coarser: bool) -> None:
    block = ready(gold.InjectionMultiSum([3, 7], 6, [4, 3], 1))
    fine, coarse = pyramid(3, 7) if coarser else pyramid(7, 3)
    local, joint = (fine, coarse) if coarser else (coarse, fine)
    size = doubled if coarser else means
    gate = size((block.global_act(joint[:, 4:]) / 6 + 0.5).clamp(0, 1))
    expected = block.local_embedding(local) * gate + size(block.global_embedding(joint[:, 4:]))
    torch.testing.assert_close(block([local, joint]), expected)


def test_pools_to_the_last_and_to_the_second() -> None:
    a, b, c = given = pyramid(3, 4, 5)
    block = ready(gold.PyramidPoolAgg([3, 4, 5], 6, 1))
    expected = block.conv(torch.cat((means(a, 4), means(b), c), 1))
    torch.testing.assert_close(block(given), expected)
    block.stride = 2
    assert block([a, b, c[:, :, :1, :3]]).shape == (2, 6, 1, 2)
    found = gold.AdvPoolFusion([3, 4])([a, b])
    torch.testing.assert_close(found, torch.cat((means(a), b), 1))


@pytest.mark.parametrize(
    ("block", "channels", "shrinks"),
    [
        (gold.SimFusion4([3, 4, 5, 2]), [3, 4, 5, 2], [1, 2, 4, 8]),
        (gold.SimFusion3([3, 4, 6], 6), [3, 4, 6], [1, 2, 4]), (gold.IFM(6, [4, 3], 8), 6, ()),
        (gold.InjectionMultiSum([3, 3], 6, [3], 0), [3, 3], [1, 4]),
        (gold.InjectionMultiSum([3, 3], 6, [3], 0), [3, 3], [1, 1]),
        (gold.PyramidPoolAgg([3, 4], 6), [3, 4], [1, 2]),
        (gold.AdvPoolFusion([3, 4]), [3, 4], [1, 2]),
    ],
)  # fmt: skip
def test_contract(block: nn.Module, channels: Any, shrinks: Any) -> None:
    check_block(block, channels, shrinks)


def gold_graph() -> dict[str, Any]:
    """The rows that public files have, from a backbone of four levels."""
    levels = [[-1, 1, "Conv", [16, 3, 2]] for _ in range(3)]  # rows 1 to 3, strides 16 to 64
    return graph_with(
        *levels,
        [[0, 1, 2, 3], 1, "SimFusion_4in", []],
        [-1, 1, "IFM", [[64, 32]]],
        [[1, 2, 3], 1, "SimFusion_3in", [32]],
        [[-1, 5], 1, "InjectionMultiSum_Auto_pool", [24, [64, 32], 0]],
        [[1, 7, 3], 1, "PyramidPoolAgg", [352, 2]],
        [-1, 1, "TopBasicLayer", [352, [64, 128]]],
        [[1, 7], 1, "AdvPoolFusion", []],
        [[-1, 9], 1, "InjectionMultiSum_Auto_pool", [24, [64, 128], 1]],
    )


def test_rows_of_a_whole_neck() -> None:
    graph = {**gold_graph(), "width_multiple": 0.5}
    model = DetectionModel(graph).eval()
    widths = [row_info(row).width for row in model.model[4:12]]
    assert widths == [32, 96, 16, 24, 352, 192, 32, 24]
    strides = [step.stride for step in read_graph(model.graph).steps[4:12]]
    assert strides == [32, 32, 32, 32, 128, 128, 32, 32]
    assert torch.isfinite(model(torch.rand(1, 3, 128, 192))[0]).all()
    assert lint_content(gold_graph()) == []


def test_parts_that_do_not_fit_are_refused() -> None:
    graph = gold_graph()
    graph["backbone"][7][3] = [24, [64, 64], 0]
    with pytest.raises(UserError, match=r"row 7: .*must sum up to the 96 channels of the second"):
        DetectionModel(graph)
