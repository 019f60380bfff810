"""The inert values that replace the names, objects and numpy types of a foreign pickle."""

from __future__ import annotations

from collections.abc import Hashable, Sized
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from utils.pickles.checks import Refused, as_key

MAX_STEPS = 2**21  # values and bytes that are copied, or walked more than once, all together
TUPLE_KEY_STEPS = 2**11  # that a tuple costs as a key
REPEATING = "torch.Tensor"  # kind of the object in place of a tensor that repeats its values
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


class Budget:
    """Limits what is looked at or copied again, all together, while one file is read.

    A file may refer to a value that it has once any number of times. Each copy or walk of it costs
    again, so a small file could take any amount of memory or time.
    """

    def __init__(self) -> None:
        self.spent = 0

    def count(self, steps: int) -> None:
        """Count steps. Raises Refused beyond MAX_STEPS."""
        self.spent += steps
        if self.spent > MAX_STEPS:
            raise Refused(f"copies more than {MAX_STEPS:,} values, or looks at them again")

    def spend(self, values: AnySized) -> AnySized:
        """Return values that are about to be copied or walked. Raises Refused beyond MAX_STEPS."""
        self.count(len(values) + 1)
        return values

    def key(self, value: object) -> Hashable:
        """A value that may be a key of a dict or set. Raises Refused for any other, as as_key().

        Python's hash of a tuple is known, so a file could hold many that collide, and each would be
        compared with all others. Saved models have hardly any such keys.
        """
        if type(value) is tuple:
            self.count(TUPLE_KEY_STEPS)
        return as_key(value)
