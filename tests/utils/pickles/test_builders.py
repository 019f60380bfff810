"""Functions of ours that stand for the calls of a saved model."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from utils.pickles.builders import (
    BUILDERS,
    INERT,
    STORAGES,
    joined,
    make_set,
    rebuild_tensor,
)
from utils.pickles.checks import Refused
from utils.pickles.objects import MAX_STEPS, Budget, PickledName, PickledObject


def test_a_tensor_is_a_view_of_its_storage() -> None:
    storage = torch.arange(12.0)
    found: Any = rebuild_tensor(Budget(), (storage, 1, (2, 3), (6, 2), False, {}))
    assert found.tolist() == [[1, 3, 5], [7, 9, 11]]
    assert found.data_ptr() == storage[1:].data_ptr()
    empty: Any = rebuild_tensor(Budget(), (storage, 0, (0, 3), (3, 1), False, {}))
    assert empty.shape == (0, 3)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (13,), (1,)),
        (1, (12,), (1,)),
        (-1, (2,), (1,)),
        (0, (2, 2), (1,)),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(
    offset: int, size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    with pytest.raises(Refused, match="outside of its storage of 12 values"):
        rebuild_tensor(Budget(), (torch.arange(12.0), offset, size, stride, False, {}))


def test_a_view_that_repeats_values_is_no_tensor() -> None:
    """YOLOv5 keeps such grids; a small file must not stand for a large tensor."""
    for size, stride in (((3, 5), (0, 1)), ((2**39,), (0,))):
        found = rebuild_tensor(Budget(), (torch.arange(12.0), 0, size, stride, False, {}))
        assert isinstance(found, PickledObject)


def test_bound_methods_are_inert_and_nothing_else_is_fetched() -> None:
    conv = PickledObject("models.common.Conv", {})
    found: Any = BUILDERS["builtins.getattr"](Budget(), (conv, "forward_fuse"))
    assert (found.kind, found.get("name")) == ("builtins.method", "forward_fuse")
    for arguments in (
        (PickledName("os"), "system"),
        (conv, 1),
        (conv,),
        (conv, "a.b"),
        (print, "x"),
    ):
        assert BUILDERS["__builtin__.getattr"](Budget(), arguments) is NotImplemented


@pytest.mark.parametrize("size", [(1,) * 9, (2**40,), (1.0,), (True,)])
def test_unusual_sizes_are_not_taken(size: tuple[Any, ...]) -> None:
    arguments = (torch.arange(12.0), 0, size, (1,) * len(size), False, {})
    assert rebuild_tensor(Budget(), arguments) is NotImplemented


def test_copies_are_limited_over_all_calls() -> None:
    budget, values = Budget(), list(range(1000))
    with pytest.raises(Refused, match="copies more than"):
        for _ in range(MAX_STEPS // 1000):
            assert make_set(budget, (values,)) == set(values)


def test_paths_become_text() -> None:
    assert joined("/")(Budget(), ("runs", "exp")) == "runs/exp"
    assert joined("/")(Budget(), ("runs", b"exp")) is NotImplemented
    assert joined("/")(Budget(), ("a",) * 101) is NotImplemented


def test_no_name_has_two_meanings() -> None:
    assert not set(BUILDERS) & set(STORAGES)
    assert not set(BUILDERS) & INERT
    assert not set(STORAGES) & INERT
