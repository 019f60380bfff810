"""Checks of the values of a pickle, and Refused, the error for anything that is not allowed."""

from __future__ import annotations

from collections.abc import Hashable

MAX_NESTING = 200  # containers within containers
MAX_KEY_PARTS = 8  # of a tuple that is a key
SCALARS = (str, int, float, bool, bytes, type(None))


class Refused(Exception):
    """The file contains something that is not allowed; the text follows its name in the error."""


def printable_text(value: object) -> str:
    """Text of a file, or the type of another value, in at most 80 printable ASCII characters."""
    line = ascii(value)[1:-1] if isinstance(value, str) else type(value).__name__
    return line if len(line) <= 80 else line[:77] + "..."


def as_key(value: object) -> Hashable:
    """A value that may be a key of a dict or set: a scalar or a short tuple of scalars.

    Tuples within tuples are refused: if each contains the last one twice, a short file makes one
    whose hash takes exponential time. Raises Refused.
    """
    is_flat = (
        type(value) is tuple
        and len(value) <= MAX_KEY_PARTS
        and all(type(part) in SCALARS for part in value)
    )
    if (is_flat or type(value) in SCALARS) and isinstance(value, Hashable):
        return value
    raise Refused(f"has a {type(value).__name__} as a key, where text or a number is needed")


def check_nesting(root: object) -> None:
    """Raise Refused for containers within containers beyond MAX_NESTING.

    The search is breadth-first and visits each container once, so that neither a cycle nor shared
    containers make it long.
    """
    seen, level = {id(root)}, [root]
    for _ in range(MAX_NESTING):
        found: list[object] = []
        for value in level:
            for part in _parts(value):
                if id(part) not in seen:
                    seen.add(id(part))
                    found.append(part)
        if not found:
            return
        level = found
    raise Refused(f"has values more than {MAX_NESTING} levels deep")


def _parts(value: object) -> list[object]:
    """The containers directly in a value; the state of a PickledObject is one."""
    # The state is a level of its own: many objects may share it, and it is walked once.
    inner = [value.state] if hasattr(value, "state") else value
    if type(inner) is dict:
        inner = list(inner.values())
    if type(inner) is not list and type(inner) is not tuple:
        return []
    return [part for part in inner if type(part) not in SCALARS]
