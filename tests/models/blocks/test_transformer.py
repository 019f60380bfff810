"""BoT3 and CoT3: golden values, a plain calculation, gradients, and rows of public graphs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.blocks.transformer import BoT3, CoT3
from models.yolo import DetectionModel
from tests.models.attention.golden import Golden, draws
from tests.models.graph.test_layers import graph_with
from utils.errors import UserError

BLOCKS: list[Any] = [BoT3, CoT3]


def test_golden_of_bot3() -> None:
    Golden("mhsa").check(BoT3(32, 32), "bot3", "7x13")


def test_golden_of_cot3() -> None:
    Golden("cot").check(CoT3(32, 32), "cot3", "7x13")


@pytest.mark.parametrize("kind", BLOCKS)
def test_bottlenecks_follow_one_another_on_half_of_the_channels(kind: Any) -> None:
    block: nn.Module = kind(8, 24, 2).eval()
    x = draws(1, 2, 8, 4, 5)

    def bottleneck(index: int, y: Tensor) -> Tensor:
        inner = block.m[index]  # type: ignore[index]
        return y + inner.cv2(inner.cv1(y))

    deep = bottleneck(1, bottleneck(0, block.cv1(x)))  # type: ignore[operator]
    expected = block.cv3(torch.cat((deep, block.cv2(x)), 1))  # type: ignore[operator]
    assert expected.shape == (2, 24, 4, 5)
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("kind", BLOCKS)
def test_every_parameter_but_the_unused_ones_learns(kind: Any) -> None:
    block = kind(16, 16, 2).eval()
    (block(draws(1, 2, 16, 5, 6)) * draws(2, 2, 16, 5, 6)).sum().backward()
    dead = {
        key
        for key, value in block.named_parameters()
        if value.grad is None or float(value.grad.abs().max()) < 1e-6
    }
    ends = ("fc1.weight", "fc1.bias", "cv2.0.key.bias", "attention_embed.3.bias")
    assert dead == {key for key, _ in block.named_parameters() if key.endswith(ends)}


def test_a_shortcut_may_be_left_out() -> None:
    block = CoT3(16, 16, 1, False).eval()
    x = draws(1, 1, 8, 4, 5)
    assert torch.equal(block.m(x), block.m[0].cv2(block.m[0].cv1(x)))  # type: ignore[index, union-attr, operator]


def test_parameters_at_256() -> None:
    around = 3 * (256 * 128 + 256) + 256 * 128 + 256  # cv1 and cv2, and cv3 of twice their size
    first = 128 * 128 + 256  # cv1 of the bottleneck
    query = 128 * 128 + 128  # as many as key, value and fc1
    key = 128 * 32 * 9 + 256
    logits = 256 * 64 + 128 + 64 * 9 * 128 + 9 * 128
    for block, parameters in (
        (BoT3(256, 256), around + first + 4 * query),
        (CoT3(256, 256), around + first + key + 128 * 128 + 256 + logits),
    ):
        assert sum(value.numel() for value in block.parameters()) == parameters


@pytest.mark.parametrize(
    "row",
    [
        [-1, 1, "BoT3", [16]],
        [-1, 3, "BoT3", [16, 0.5, 1, 10, 10]],
        [-1, 3, "CoT3", [16]],
        [-1, 1, "CoT3", [16, False]],
    ],
)
def test_rows_of_public_graphs(row: list[Any]) -> None:
    model = DetectionModel(graph_with(row)).eval()
    assert len(model.model[1].m) == row[1]  # type: ignore[union-attr, arg-type]
    assert model(torch.zeros(1, 3, 64, 96))[0].shape == (1, 2 * 8 * 12, 7)


def test_another_inner_width_is_refused() -> None:
    with pytest.raises(UserError, match=r"row 1: BoT3 .*0.25, must be 1"):
        DetectionModel(graph_with([-1, 1, "BoT3", [16, 0.5, 0.25]]))


def test_attention_goes_inside_the_bottlenecks() -> None:
    graph = graph_with([-1, 2, "BoT3", [16, {"inside": "SimAM"}]])
    block = DetectionModel(graph).model[1]
    names = [type(inner.attention).__name__ for inner in block.m]  # type: ignore[union-attr]
    assert names == ["SimAM", "SimAM"]
