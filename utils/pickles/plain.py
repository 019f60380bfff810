"""Copy what a file holds into plain values of which no two parts are shared.

A list that contains another one twice, which contains another one twice, and so on, takes 30 steps
to write and 2^30 to print or to compare. After the copy each part is there once, so that whatever
walks the values later takes no longer than the copy did.
"""

from __future__ import annotations

from torch import Tensor

from utils.pickles.checks import MAX_NESTING, Refused
from utils.pickles.objects import REPEATING, PickledObject

MAX_SIZE = 2**22  # of all values together: each counts VALUE_SIZE, and text its characters
VALUE_SIZE = 16


def unshared(root: object) -> object:
    """A copy of numbers, text, bools, None and tensors in dictionaries, lists and tuples.

    Tensors are the same objects. Raises Refused for anything else, or more than MAX_SIZE.
    """
    return _copied(root, [MAX_SIZE], 0)


def _copied(value: object, left: list[int], level: int) -> object:
    """unshared() of a part, level containers deep; left holds one number, which counts down."""
    left[0] -= VALUE_SIZE + (len(value) if isinstance(value, str) else 0)
    if left[0] < 0 or level > MAX_NESTING:
        raise Refused("has more values, or longer text, than a checkpoint needs")
    if value is None or isinstance(value, (bool, int, float, str, Tensor)):
        return value
    if type(value) is dict:
        return {
            _copied(key, left, level): _copied(part, left, level + 1) for key, part in value.items()
        }
    if type(value) is list:
        return [_copied(part, left, level + 1) for part in value]
    if type(value) is tuple:
        return tuple(_copied(part, left, level + 1) for part in value)
    if isinstance(value, PickledObject) and value.kind == REPEATING:
        raise Refused("has a tensor that repeats its values, which no trained detector does")
    raise Refused(f"has a {type(value).__name__}, where a plain value is needed")
