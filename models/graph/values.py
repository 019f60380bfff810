"""Values of a model YAML, checked one by one, and how errors show them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

from utils.errors import UserError
from utils.text import printable, shown

MOST = 65536  # of any channel count, size or argument: anything larger is a typing error
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MOST_SHOWN = 120  # characters of one value in an error

# A graph as YAML or a checkpoint stores it. Its values have any type until read_graph checks them.
GraphDict: TypeAlias = dict[str, Any]
Arguments: TypeAlias = list[Any] | dict[str, Any]


class Note(str):
    """A line about what a row was taken for, where public files differ. It is not a warning."""

    __slots__ = ()


def shorten(value: object) -> str:
    """The value on one line of at most 120 characters, for errors and tables."""
    text = value[: 2 * MOST_SHOWN] if isinstance(value, str) else shown(value, MOST_SHOWN)
    return printable(" ".join(text.split()), MOST_SHOWN)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether the value is an int and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether the value is a finite int or float and not a bool."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def as_number(value: object) -> object:
    """The number that a text spells, or the value itself.

    PyYAML follows YAML 1.1, in which `1e-4` is text.
    """
    if isinstance(value, str) and len(value) < 40 and NUMBER.fullmatch(value.strip()):
        number = float(value)
        return int(number) if value.strip().lstrip("+-").isdigit() else number
    return value


@dataclass(frozen=True, slots=True)
class Values:
    """The top-level numbers of a graph, checked. Its methods raise UserError for bad values."""

    file: str
    content: Mapping[str, object]

    def whole(self, key: str, largest: int, default: int | None = None, smallest: int = 1) -> int:
        """The whole number of a key.

        Args:
            key: of the graph.
            largest: the largest number that is accepted.
            default: the number if the graph does not have the key.
            smallest: the smallest number that is accepted.

        Returns:
            A number from smallest to largest.

        Raises:
            UserError: The value is something else, or is missing and has no default.
        """
        value = self.content.get(key, default)
        if not is_whole(value) or not smallest <= value <= largest:
            remedy = f"must be a whole number from {smallest} to {largest}"
            raise UserError(f"{self.file}: {key}: {shorten(value)}: {remedy}")
        return value

    def real(self, key: str, largest: float, default: float | None = None) -> float:
        """The number of a key.

        Args:
            key: of the graph.
            largest: the largest number that is accepted.
            default: the number if the graph does not have the key.

        Returns:
            A number above 0, at most largest.

        Raises:
            UserError: The value is something else, or is missing and has no default.
        """
        value = as_number(self.content.get(key, default))
        if not is_number(value) or not 0 < value <= largest:
            raise UserError(
                f"{self.file}: {key}: {shorten(value)}: must be a number above 0, at most {largest}"
            )
        return float(value)


def check_argument(where: str, value: object, depth: int = 0) -> None:
    """Check one argument of a row: None, a bool, text, a moderate number, or a list of these.

    Args:
        where: file and row, for the error.
        value: the argument.
        depth: number of lists around the value.

    Raises:
        UserError: The argument is something else, too large, too long or too deep.
    """
    if isinstance(value, list) and depth < 3 and len(value) <= 64:
        for part in value:
            check_argument(where, part, depth + 1)
    elif isinstance(value, (int, float)):
        if not abs(value) <= MOST:  # written so that nan is refused too
            raise UserError(
                f"{where}: {shorten(value)}: is not a sensible argument; numbers go up to {MOST}"
            )
    elif value is not None and not (isinstance(value, str) and len(value) <= 200):
        raise UserError(
            f"{where}: {shorten(value)}: is not an argument; use numbers, names, None, True, False"
            " or lists of these"
        )
