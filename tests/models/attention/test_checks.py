"""Checks of options: what passes, and what the messages say."""

from __future__ import annotations

from typing import Any

import pytest

from models.attention._checks import (
    check_count,
    check_flag,
    check_odd,
    check_reduction,
    choose_divisor,
)

NOT_COUNTS = [0, -1, 4.0, "4", True, None, [4]]


@pytest.mark.parametrize("value", NOT_COUNTS)
def test_what_is_no_count(value: Any) -> None:
    for check in (check_count, check_odd):
        with pytest.raises(ValueError, match=r"^side=.*: must be a whole number from 1 on$"):
            check("side", value)
    with pytest.raises(ValueError, match=r"^rate=.*: must be a whole number from 1 on, such as 4$"):
        check_count("rate", value, 4)


def test_values_are_returned() -> None:
    assert check_count("side", 6) == 6
    assert check_odd("side", 7) == 7
    assert check_flag("bias", False) is False
    assert check_reduction("reduction", 32, 4, 32) == 32
    assert check_reduction("reduction", 64, 64, 32) == 64


def test_even_sides() -> None:
    with pytest.raises(ValueError, match=r"side=6: must be odd, such as 7, to keep the map's size"):
        check_odd("side", 6)


@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_what_is_no_flag(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^bias=.*: must be true or false$"):
        check_flag("bias", value)


def test_a_reduction_above_the_channels() -> None:
    message = r"^rate=65: is more than the 64 channels; write \{rate: 32\}$"
    with pytest.raises(ValueError, match=message):
        check_reduction("rate", 65, 64, 32)


@pytest.mark.parametrize(("total", "chosen"), [(64, 8), (20, 5), (7, 7), (11, 1), (1, 1)])
def test_the_largest_divisor_is_chosen(total: int, chosen: int) -> None:
    assert choose_divisor("groups", None, total, 8, "them") == chosen


@pytest.mark.parametrize("value", [0, -2, 3, 128, 2.5, "8", True])
def test_what_does_not_divide(value: Any) -> None:
    message = r"^groups=.*: must divide the 64 channels, such as 1, 2, 4, 8, 16, 32, 64$"
    with pytest.raises(ValueError, match=message):
        choose_divisor("groups", value, 64, 8, "the 64 channels")
    assert choose_divisor("groups", 16, 64, 8, "the 64 channels") == 16
