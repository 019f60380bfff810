"""einops' rearrange, reduce and repeat for the patterns that models use, without the package.

A pattern is a list of axes on both sides of an arrow; axes in brackets are one dimension of the
tensor, "b (h d) n -> (b h) n d". Axes are names, 1, or an ellipsis for all others. Rogozhnikov,
"Einops", ICLR 2022, defines them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType

import torch
from torch import Tensor, nn

Groups = tuple[tuple[str, ...], ...]  # the axes that each dimension consists of
REST = "…"
REDUCTIONS: Mapping[str, Callable[[Tensor, list[int]], Tensor]] = MappingProxyType(
    {
        "mean": lambda x, dims: x.mean(dims),
        "sum": lambda x, dims: x.sum(dims),
        "max": lambda x, dims: x.amax(dims),
        "min": lambda x, dims: x.amin(dims),
    }
)


@cache
def parse(side: str) -> Groups:
    """The dimensions of one side of a pattern. "b (h d) ..." -> (("b",), ("h", "d"), ("…",))."""
    found: list[tuple[str, ...]] = []
    for brackets, word in re.findall(r"\(([^()]*)\)|([^\s()]+)", side.replace("...", REST)):
        axes = tuple(brackets.split()) if not word else (word,)
        found.append(tuple(axis for axis in axes if axis != "1"))
    return tuple(found)


def _sides(pattern: str, rank: int) -> tuple[Groups, Groups]:
    """Both sides, in which numbered axes stand for an ellipsis."""
    before, arrow, after = pattern.partition("->")
    left, right = parse(before), parse(after)
    count = rank - len([group for group in left if group != (REST,)])
    if not arrow or (count != 0 and (REST,) not in left) or count < 0:
        raise ValueError(f"pattern {pattern!r} does not fit a tensor of {rank} dimensions")
    names = tuple(f"{REST}{number}" for number in range(count))
    return _spread(left, names), _spread(right, names)


def _spread(groups: Groups, names: tuple[str, ...]) -> Groups:
    found: list[tuple[str, ...]] = []
    for group in groups:
        if group == (REST,):
            found += [(name,) for name in names]
        else:
            found.append(
                tuple(one for axis in group for one in (names if axis == REST else [axis]))
            )
    return tuple(found)


def _sizes(pattern: str, left: Groups, x: Tensor, given: Mapping[str, int]) -> dict[str, int]:
    """The length of each axis; at most one of a dimension may be left to calculate."""
    sizes = dict(given)
    for group, length in zip(left, x.shape, strict=True):
        open_axes = [axis for axis in group if axis not in sizes]
        known = math.prod(sizes[axis] for axis in group if axis in sizes)
        if len(open_axes) > 1 or length % max(known, 1) or (not open_axes and known != length):
            raise ValueError(f"pattern {pattern!r}: {length} cannot be split into {group}")
        sizes.update(dict.fromkeys(open_axes, length // max(known, 1)))
    return sizes


def _transform(x: Tensor, pattern: str, reduction: str, given: Mapping[str, int]) -> Tensor:
    """Split the dimensions, reduce or repeat axes, put them in order and join them."""
    left, right = _sides(pattern, x.dim())
    sizes = _sizes(pattern, left, x, given)
    before = [axis for group in left for axis in group]
    after = [axis for group in right for axis in group]
    gone, new = [a for a in before if a not in after], [a for a in after if a not in before]
    if (gone and reduction in ("", "repeat")) or (new and reduction != "repeat"):
        raise ValueError(f"pattern {pattern!r}: both sides must have the same axes")
    x = x.reshape([sizes[axis] for axis in before])
    if gone:
        x = REDUCTIONS[reduction](x, [before.index(axis) for axis in gone])
        before = [axis for axis in before if axis in after]
    if new:
        x = x.reshape(*x.shape, *[1] * len(new)).expand(*x.shape, *(_size(sizes, a) for a in new))
        before += new
    x = x.permute([before.index(axis) for axis in after])
    return x.reshape([math.prod(sizes[axis] for axis in group) for group in right])


def _size(sizes: dict[str, int], axis: str) -> int:
    """The length of an axis that only the right side has."""
    if axis not in sizes and not axis.isdigit():
        raise ValueError(f"axis {axis}: its length is not given")
    return sizes.setdefault(axis, int(axis) if axis.isdigit() else 0)


def _stacked(x: Tensor | Sequence[Tensor]) -> Tensor:
    return x if isinstance(x, Tensor) else torch.stack(list(x))


def rearrange(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """Split, permute and join dimensions; see the top of this file.

    Args:
        tensor: or a list of equal ones, whose number is a new first dimension.
        pattern: both sides have the same axes.
        axes_lengths: of axes in brackets, all but one.

    Returns:
        The tensor in the new form.

    Raises:
        ValueError: The pattern does not fit the tensor.
    """
    return _transform(_stacked(tensor), pattern, "", axes_lengths)


def repeat(tensor: Tensor | Sequence[Tensor], pattern: str, **axes_lengths: int) -> Tensor:
    """Like rearrange; axes of the right side alone repeat the values."""
    return _transform(_stacked(tensor), pattern, "repeat", axes_lengths)


def reduce(
    tensor: Tensor | Sequence[Tensor], pattern: str, reduction: str, **axes_lengths: int
) -> Tensor:
    """Like rearrange; axes of the left side alone are reduced by mean, sum, max or min."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction {reduction!r}: must be one of {', '.join(REDUCTIONS)}")
    return _transform(_stacked(tensor), pattern, reduction, axes_lengths)


class Rearrange(nn.Module):
    """rearrange as a module."""

    def __init__(self, pattern: str, **axes_lengths: int) -> None:
        super().__init__()
        self.pattern, self.axes_lengths = pattern, axes_lengths

    def forward(self, x: Tensor) -> Tensor:
        """[...] -> [...], as the pattern says."""
        return _transform(x, self.pattern, "", self.axes_lengths)

    def extra_repr(self) -> str:
        return repr(self.pattern)


class Reduce(nn.Module):
    """reduce as a module."""

    def __init__(self, pattern: str, reduction: str, **axes_lengths: int) -> None:
        super().__init__()
        self.pattern, self.reduction, self.axes_lengths = pattern, reduction, axes_lengths

    def forward(self, x: Tensor) -> Tensor:
        """[...] -> [...], as the pattern says."""
        return reduce(x, self.pattern, self.reduction, **self.axes_lengths)
