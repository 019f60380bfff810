"""Values of a model YAML, checked one by one: what is a number, what an argument may be, how an
error shows it.
"""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from utils.errors import UserError

LARGEST = 65536  # of any channel count, size or argument: what is above is a slip of the pen
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def shorten(value: object) -> str:
    """The value on one line of bearable length."""
    limited = reprlib.Repr()
    limited.maxstring = limited.maxother = 60
    limited.maxlevel = (
        4  # and so bounded in time too, whatever aliases the YAML builds its lists from
    )
    limited.maxlist = 8
    text = " ".join((value if isinstance(value, str) else limited.repr(value)).split())
    return text if len(text) <= 120 else text[:117] + "..."


def is_whole(value: Any) -> bool:
    """True for an int that is no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """True for a finite int or float that is no bool."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def as_number(value: Any) -> Any:
    """Text that spells a number, as YAML 1.1 leaves `1e-4`, as that number; anything else as it
    came.
    """
    if isinstance(value, str) and len(value) < 40 and NUMBER.fullmatch(value.strip()):
        number = float(value)
        return int(number) if value.strip().lstrip("+-").isdigit() else number
    return value


@dataclass(frozen=True, slots=True)
class Values:
    """Top-level numbers of a graph, checked. Each raises UserError for what is out of bounds."""

    file: str
    content: Mapping[str, Any]

    def whole(self, key: str, largest: int, default: int | None = None, smallest: int = 1) -> int:
        """A whole number from smallest to largest."""
        value = self.content.get(key, default)
        if not is_whole(value) or not smallest <= value <= largest:
            remedy = f"must be a whole number from {smallest} to {largest}"
            raise UserError(f"{self.file}: {key}: {shorten(value)}: {remedy}")
        return value

    def real(self, key: str, largest: float, default: float | None = None) -> float:
        """A number above 0, at most largest."""
        value = as_number(self.content.get(key, default))
        if not is_number(value) or not 0 < value <= largest:
            raise UserError(
                f"{self.file}: {key}: {shorten(value)}: must be a number above 0, at most {largest}"
            )
        return float(value)


def check_argument(where: str, value: Any, depth: int = 0) -> None:
    """Arguments are None, bool, text, sensible numbers, and lists of these. Raises UserError."""
    if isinstance(value, list) and depth < 3 and len(value) <= 64:
        for part in value:
            check_argument(where, part, depth + 1)
    elif isinstance(value, (int, float)):
        if not abs(value) <= LARGEST:  # also refuses nan
            raise UserError(
                f"{where}: {shorten(value)}: is no sensible argument; numbers go up to {LARGEST}"
            )
    elif value is not None and not (isinstance(value, str) and len(value) <= 200):
        raise UserError(
            f"{where}: {shorten(value)}: is no argument; use numbers, names, None, True, False or"
            " lists of them"
        )
