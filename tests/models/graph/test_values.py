"""Values of a graph's file: bounds, defaults, and what may be an argument."""

from __future__ import annotations

import pytest

from models.graph.values import Values, check_argument, is_number, is_whole
from utils.errors import UserError


def test_numbers_are_no_bools() -> None:
    assert [is_whole(value) for value in (3, True, 3.0, "3")] == [True, False, False, False]
    assert [is_number(value) for value in (3, 0.5)] == [True, True]
    assert [is_number(value) for value in (True, float("nan"), float("inf"))] == [
        False,
        False,
        False,
    ]


def test_bounds_and_defaults() -> None:
    values = Values("g.yaml", {"whole": 2, "real": "1e-2"})
    assert values.whole("whole", 2, smallest=2) == 2
    assert values.whole("none", 9, 4) == 4
    assert values.real("real", 1) == 0.01
    assert values.real("none", 1, 0.5) == 0.5
    with pytest.raises(UserError, match=r"g.yaml: whole: 2: must be a whole number from 3 to 9"):
        values.whole("whole", 9, smallest=3)
    with pytest.raises(UserError, match=r"g.yaml: none: None: must be a number above 0, at most 1"):
        values.real("none", 1)


@pytest.mark.parametrize("value", [float("nan"), 10**6, {"a": 1}, "x" * 201, [[[[1]]]], [0] * 65])
def test_what_is_no_argument(value: object) -> None:
    with pytest.raises(UserError, match=r"^here: "):
        check_argument("here", value)
    check_argument("here", [None, True, "max", 1.5, [1, [2]]])
