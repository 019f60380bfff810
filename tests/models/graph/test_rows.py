"""The parts of a row, checked: what passes as it is, and what is told in one line."""

from __future__ import annotations

from typing import Any

import pytest

from models.graph.rows import WrittenRow, check_row, split_inside
from utils.errors import UserError


@pytest.mark.parametrize("source", [-1, 6, [-1, 6], "backbone.P4", [-1, "backbone.P4"]])
def test_what_a_row_may_be(source: Any) -> None:
    row = [source, 3, "C3", [64, "None", True, {"inside": "SE", "reduction": 4}]]
    assert check_row("here", row) == WrittenRow(
        source,
        3,
        "C3",
        [64, "None", True],
        {"inside": "SE", "reduction": 4},
    )
    assert check_row("here", [source, 1, "SimAM", {"e_lambda": 1}]) == WrittenRow(
        source,
        1,
        "SimAM",
        {"e_lambda": 1},
        None,
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("Conv", "must be a list of four"),
        ([-1, 1, "Conv"], "must be a list of four"),
        ([1.5, 1, "Conv", [8]], "a name as backbone.P4"),
        ([[-1, None], 1, "Conv", [8]], "a name as backbone.P4"),
        ([[], 1, "Conv", [8]], "a name as backbone.P4"),
        ([True, 1, "Conv", [8]], "a name as backbone.P4"),
        ([-1, 0, "Conv", [8]], "must be a whole number, 1 or more"),
        ([-1, 1, 3, [8]], "must be a name such as Conv"),
        ([-1, 1, "Conv", 8], "must be a list, or for attention a mapping"),
        ([-1, 1, "Conv", {1: 8}], "must be a list, or for attention a mapping"),
        ([-1, 1, "Conv", [{"a": 1}]], "is not an argument"),
        ([-1, 1, "Conv", [{"inside": "SE"}, 8]], "is not an argument"),
        ([-1, 1, "C3", [8, {"inside": None}]], "must name the attention"),
        ([-1, 1, "C3", [8, {"inside": "SE", "reduction": {}}]], "is not an argument"),
    ],
)
def test_what_a_row_may_not_be(row: Any, said: str) -> None:
    with pytest.raises(UserError) as error:
        check_row("g.yaml: row 3", row)
    assert said in str(error.value)
    assert str(error.value).startswith("g.yaml: row 3: ")
    assert "\n" not in str(error.value)


def test_only_a_trailing_mapping_goes_inside() -> None:
    assert split_inside([8, {"inside": "SE"}]) == ([8], {"inside": "SE"})
    assert split_inside([{"inside": "SE"}, 8]) == ([{"inside": "SE"}, 8], None)
    assert split_inside({"inside": "SE"}) == ({"inside": "SE"}, None)
    assert split_inside([]) == ([], None)
