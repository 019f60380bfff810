"""Layer, an entry of the table of layers, and the short forms in which the table writes several.

The table itself is models/graph/layers.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from models.graph.factors import Factor, keeps

BuildRule = Literal["stack", "concat", "fuse", "fuse to", "keep", "same", "norm", "head", "own"]
SMALLEST_WIDTH = 16  # smaller numbers are kernels, factors or dimensions, not channel counts
Gain = Callable[[int, Sequence[object]], int]


@dataclass(frozen=True, slots=True)
class Layer:
    """The meaning of a module's name in a YAML.

    Attributes:
        kind: class of the module.
        rule: how the module is built from the row, and what its output channels are. "stack" takes
            (c1, c2, …) and gives c2 channels; "concat" gives the sum of its inputs' channels;
            "fuse" takes (list of its inputs' channels, *arguments) and "fuse to" takes (that list,
            c2, …), and both give the module's `out_channels`; "keep" takes the arguments as they
            are and keeps the channels; "same" takes (c1, *arguments) and gives the module's
            `out_channels`, or c1 if it has none; "norm" takes the number of channels and keeps it;
            "head" is the last row; "own" is a class of a person's file (models/graph/own.py). A
            row that joins maps reads maps of one size, unless its class has `joins_sizes = True`.
        repeats: whether a stack's third argument is the number of repeats. Other modules are built
            as many times as the row says, one after the other.
        gain: output channels of a "keep" row, from its input channels and its arguments.
        factor: how many times fewer cells per side the output has than the input, computed from
            the row's arguments as they are written; nan if they do not determine it. It is
            optional, because a trial run measures it too, only more slowly.
        place: the name, among the places of a graph, of the backbone's last row of this kind.
        follows: position in `from` of the map whose size the output has; see joins_sizes above.
        counted: the entry for rows whose first argument is a channel count, SMALLEST_WIDTH or more,
            where one name stands for two modules in the files of different authors.
    """

    kind: type[nn.Module]
    rule: BuildRule
    repeats: bool = False
    gain: Gain = lambda channels, arguments: channels
    factor: Factor | None = None
    place: str = ""
    follows: int = 0
    counted: Layer | None = None


def stacks(factor: Factor, *kinds: type[nn.Module], repeats: bool = False) -> dict[str, Layer]:
    """Rows of the rule "stack" under the names of their classes."""
    return {kind.__name__: Layer(kind, "stack", repeats, factor=factor) for kind in kinds}


def stacks_as(factor: Factor, kind: type[nn.Module], *names: str) -> dict[str, Layer]:
    """Rows of the rule "stack" under all the names in use."""
    return {name: Layer(kind, "stack", factor=factor) for name in names}


def keepers(factor: Factor, *kinds: type[nn.Module]) -> dict[str, Layer]:
    """Rows of PyTorch's own modules that keep the channels, under names such as nn.Dropout."""
    return {f"nn.{kind.__name__}": Layer(kind, "keep", factor=factor) for kind in kinds}


def halves(arguments: Sequence[object]) -> float:
    """The factor of a layer whose output always has half as many cells per side."""
    return 2.0


def quarters(arguments: Sequence[object]) -> float:
    """The factor of a layer whose output always has a quarter of the cells per side."""
    return 4.0


def optional(kind: type[nn.Module], factor: Factor = keeps) -> dict[str, Layer]:
    """Rows that may state the channels, which the block keeps, or leave them out."""
    counted = Layer(kind, "stack", factor=factor)
    return {kind.__name__: Layer(kind, "same", factor=factor, counted=counted)}


def sames(factor: Factor, kind: type[nn.Module], *names: str) -> dict[str, Layer]:
    """Rows of the rule "same" under all the names in use."""
    return {name: Layer(kind, "same", factor=factor) for name in names}


def fuses(
    kind: type[nn.Module], *names: str, counted: type[nn.Module] | None = None
) -> dict[str, Layer]:
    """Rows that join maps to one of the size of the first, under all the names in use."""
    other = Layer(counted, "fuse", factor=keeps) if counted else None
    return {name: Layer(kind, "fuse", factor=keeps, counted=other) for name in names}
