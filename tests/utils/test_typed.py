"""Values from files against type hints."""

from __future__ import annotations

from typing import Any

import pytest

from utils.typed import first_misfit, fits


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (1.5, int, False),
        (1, float, True),
        (1.5, float, True),
        ("1", float, False),
        ("a", str, True),
        (None, str | None, True),
        (3, str | None, False),
        ([1.0, 2], list[float], True),
        ([1.0, "2"], list[float], False),
        ((1.0,), list[float], False),
        ({"a": 1}, dict[str, float], True),
        ({1: 1}, dict[str, float], False),
        ({"a": [{}]}, dict[str, Any], True),
        ([{"a": object()}], list[dict[str, object]], True),
        ({}, dict | None, True),
    ],
)
def test_values_fit_their_hints_or_not(value: object, hint: object, expected: bool) -> None:
    assert fits(value, hint) == expected


def test_the_first_misfit_is_named() -> None:
    hints = {"a": int, "b": list[str]}
    assert first_misfit({"a": 1, "b": ["x"], "more": 3}, hints) == ""
    assert first_misfit({"a": 1, "b": "x"}, hints) == "b"
    assert first_misfit({"b": []}, hints) == "a"
