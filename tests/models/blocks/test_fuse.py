"""Rows that join maps: their values, and the errors for maps that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.blocks import fuse
from models.graph.info import row_info
from models.yolo import DetectionModel
from tests.models.graph.test_layers import graph_with
from utils.errors import UserError


def joined(name: str, given: list[Any], *branches: list[Any]) -> DetectionModel:
    """A graph whose row 0 is read by all branches, which a row of this name joins."""
    rows = [[0, 1, "Conv", branch] for branch in branches]
    sources = list(range(1, len(branches) + 1))
    return DetectionModel(graph_with(*rows, [sources, 1, name, given])).eval()


def maps(count: int, channels: int = 3) -> list[torch.Tensor]:
    return list(torch.randn(count, 2, channels, 4, 5))


@pytest.mark.parametrize("name", ["Add", "ADD", "Multiply", "multiply"])
@pytest.mark.parametrize("given", [[], [1], [64]])
def test_sums_and_products_stand_in_graphs(name: str, given: list[int]) -> None:
    model = joined(name, given, [24], [24])
    assert row_info(model.model[3]).width == 24
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_add_sums_and_multiply_multiplies() -> None:
    a, b, c = maps(3)
    torch.testing.assert_close(fuse.Add([3, 3, 3], 64)([a, b, c]), a + b + c)
    torch.testing.assert_close(fuse.Multiply([3, 3])([a, b]), a * b)


def test_channels_that_differ_are_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"row 3: Add \[\]: needs .* equal channels, .* 16, 24;"):
        joined("Add", [], [16], [24])
    with pytest.raises(UserError, match=r"row 2: Add \[\]: needs two maps or more .* 16;"):
        joined("Add", [], [16])


def test_sizes_that_differ_are_one_clear_error() -> None:
    with pytest.raises(UserError, match=r"row 3: Add \[\]: from \[1, 2\]: maps differ in size"):
        joined("Add", [], [16], [16, 3, 2])


def test_one_row_as_source_is_refused() -> None:
    with pytest.raises(UserError, match=r"row 1: Add \[\]: from -1: takes a list of rows"):
        DetectionModel(graph_with([-1, 1, "Add", []]))
