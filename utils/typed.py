"""Compare values that were read from a file with the type hints of the fields they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin


def fits(value: object, hint: object) -> bool:
    """Whether a value has the type of a hint.

    Hints are classes, unions, and lists and dictionaries of such. A whole number is a float too, as
    in Python's own type hints, but a bool is no number.
    """
    if hint is Any or hint is object:
        return True
    kind, parts = get_origin(hint), get_args(hint)
    if kind in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if kind is dict:
        return isinstance(value, dict) and all(
            fits(key, parts[0]) and fits(part, parts[1]) for key, part in value.items()
        )
    if kind is list:
        return isinstance(value, list) and all(fits(part, parts[0]) for part in value)
    if hint in (int, float):
        return type(value) is int or (hint is float and type(value) is float)
    if hint is None:
        return value is None
    return isinstance(hint, type) and isinstance(value, hint)


def first_misfit(values: Mapping[str, object], hints: Mapping[str, object]) -> str:
    """The first name whose value is missing or does not have the type of its hint; "" if none."""
    wrong = (
        name for name, hint in hints.items() if name not in values or not fits(values[name], hint)
    )
    return next(wrong, "")
