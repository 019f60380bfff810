"""The inert values that replace the names, objects and numpy types of a foreign pickle."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.weights.pickles.checks import Refused

MAX_COPIED = 2**21  # values and bytes that calls copy, all together
AnySized = TypeVar("AnySized", bound=Sized)


@dataclass(frozen=True, slots=True)
class PickledName:
    """A class or function that the file names. Its text is only compared, never imported."""

    text: str


@dataclass(eq=False, slots=True)
class PickledObject:
    """An object of a class of another program, without behaviour.

    Attributes:
        kind: whole name of the class.
        state: its attributes, None until the file gives them.
    """

    kind: str
    state: dict[str, object] | None = None

    def get(self, name: str, default: object = None) -> object:
        """An attribute, or default where the object does not have it."""
        return (self.state or {}).get(name, default)


@dataclass(eq=False, slots=True)
class PickledDtype:
    """numpy's dtype of a plain number.

    Attributes:
        code: its kind and number of bytes, such as f8.
        order: byte order, one of < > =.
    """

    code: str
    order: str = "="

    def read(self, content: bytes, count: int) -> NDArray[np.generic]:
        """count numbers, which must fill content exactly. Raises Refused."""
        kind = np.dtype(self.order + self.code)
        if count * kind.itemsize != len(content):
            raise Refused(f"declares {count} numbers {self.code} in {len(content)} bytes")
        return np.frombuffer(content, kind)


@dataclass(eq=False, slots=True)
class PickledArray:
    """An array of numpy. Its values come after the array itself."""

    values: NDArray[np.generic] | None = None


class CopyBudget:
    """Limits the values that calls copy, all together.

    A file may refer to a value that it has once any number of times, and each call copies it, so a
    small file could take any amount of memory.
    """

    def __init__(self) -> None:
        self.copied = 0

    def spend(self, values: AnySized) -> AnySized:
        """Return values that are about to be copied. Raises Refused beyond MAX_COPIED."""
        self.copied += len(values) + 1
        if self.copied > MAX_COPIED:
            raise Refused(f"copies more than {MAX_COPIED:,} values")
        return values
