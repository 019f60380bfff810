"""Content of a file as plain values, none of them shared, in bounded time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from utils.pickles.checks import Refused
from utils.pickles.objects import REPEATING, PickledObject
from utils.pickles.plain import MAX_SIZE, unshared


def test_values_are_equal_and_no_longer_shared() -> None:
    one = [1, "a", None, True, 0.5, (2, 3)]
    value = {"a": one, "b": one, 3: torch.ones(2)}
    found: Any = unshared(value)
    assert found["a"] == found["b"] == one
    assert found["a"] is not found["b"]
    assert found[3] is value[3]


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_a_value_that_grows_exponentially_is_refused(kind: type) -> None:
    value: Any = kind()
    for _ in range(30):
        value = {"a": value, "b": value} if kind is dict else kind([value, value])
    with pytest.raises(Refused, match="more values"):
        unshared(value)


def test_one_long_text_that_occurs_often_is_refused() -> None:
    with pytest.raises(Refused, match="longer text"):
        unshared(["a" * (MAX_SIZE // 10)] * 11)


def test_a_list_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(Refused):
        unshared(loop)


def test_an_object_is_refused_by_what_it_is() -> None:
    with pytest.raises(Refused, match="has a tensor that repeats its values"):
        unshared([PickledObject(REPEATING, {})])
    with pytest.raises(Refused, match="has a PickledObject, where a plain value"):
        unshared([PickledObject("models.common.Conv", {})])
