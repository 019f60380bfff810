"""Factors follow from the arguments of a row; test_layers.py has those of whole rows."""

from __future__ import annotations

import math

import pytest

from models.graph.factors import MOST_STEPS, area, grows, keeps, pools, repeated, shrinks, side_of


def test_a_stride_is_a_number_or_a_list_of_equal_ones() -> None:
    assert side_of(2) == side_of([2, 2]) == 2
    assert all(math.isnan(side_of(value)) for value in (0, -1, [1, 2], "2", True, None))


def test_a_stride_is_found_at_its_position() -> None:
    factor = shrinks(2, 1, times=2)
    assert [factor(row) for row in ([64, 3, 2], [64, 3], [64, 3, "None"], [64, 3, "2"])] == [
        4, 2, 2, 4,
    ]  # fmt: skip
    assert grows(1, 2)([None, 4]) == 0.25
    assert grows(1, 2)([]) == 0.5
    assert keeps([64, 3, 2]) == 1


def test_a_pool_moves_by_its_window_where_no_stride_is_given() -> None:
    assert [pools(row) for row in ([3], [3, 2], [3, None])] == [3, 2, 3]
    assert math.isnan(pools([]))


def test_the_area_of_a_patch() -> None:
    assert [area([]), area([3])] == [4, 9]
    with pytest.raises(ValueError, match="takes one whole number"):
        area([2, 2])


def test_repeats_multiply_up_to_a_limit() -> None:
    assert repeated(2, 3) == 8
    assert repeated(1, 10**6) == 1
    assert math.isnan(repeated(2, MOST_STEPS + 1))
