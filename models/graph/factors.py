"""Factors: how many times fewer cells per side a layer's output has than its input.

The functions here compute them from the arguments of a row as they are written. The entries of
LAYERS (models/graph/layers.py) use them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from models.graph.values import as_number, is_number, is_whole

Factor = Callable[[Sequence[object]], float]
LARGEST_STEP, MOST_STEPS = 4096, 16  # factors beyond them leave no cell of any image


def keeps(arguments: Sequence[object]) -> float:
    """The factor of a layer whose output always has the size of its input."""
    return 1.0


def shrinks(position: int, default: float, times: int = 1) -> Factor:
    """A factor that the row's arguments give.

    Args:
        position: of the stride among the arguments.
        default: the stride where the row does not give one.
        times: factor by which the layer shrinks the map in addition to the stride.

    Returns:
        The factor as a function of the arguments.
    """

    def factor(arguments: Sequence[object]) -> float:
        value = as_number(arguments[position]) if len(arguments) > position else None
        return times * (default if value in (None, "None") else side_of(value))

    return factor


def grows(position: int, default: float) -> Factor:
    """The factor of a layer whose argument says how many times more cells per side it gives."""
    inverse = shrinks(position, default)
    return lambda arguments: 1 / inverse(arguments)


def pools(arguments: Sequence[object]) -> float:
    """A pool's stride, which is the side of its window where the row does not give one."""
    window = side_of(as_number(arguments[0])) if arguments else math.nan
    return shrinks(1, window)(arguments)


def side_of(value: object) -> float:
    """A number above 0, or the number that stands for both sides in a list; else nan."""
    if isinstance(value, (list, tuple)) and len(set(map(repr, value))) == 1:
        value = value[0]
    return float(value) if is_number(value) and value > 0 else math.nan


def area(arguments: Sequence[object]) -> int:
    """Pixels of the patch that Contract turns into channels, or Expand makes of channels.

    Raises ValueError for arguments other than one whole number, the side of the patch.
    """
    gain = arguments[0] if arguments else 2
    if len(arguments) > 1 or not is_whole(gain) or gain < 1:
        raise ValueError("takes one whole number, the gain, 1 or more")
    return gain**2


def repeated(factor: float, repeats: int) -> float:
    """The factor of `repeats` equal layers in sequence; nan if no image would have a cell left."""
    if factor == 1:
        return 1.0
    is_possible = 1 / LARGEST_STEP <= factor <= LARGEST_STEP and repeats <= MOST_STEPS
    return factor**repeats if is_possible else math.nan
