"""LAYERS, the one table of the names that rows may use besides those of attention modules.

To add a block, write its class in models/blocks/ and give it one entry here:

    "RepBlock": Layer(rare.RepBlock, "stack", repeats=True)

Everything else follows from the entry and the class. models/graph/build.py builds the rows by their
rule. Whether a block shrinks the map and whether it has bottlenecks, on which the names of places
depend, is measured from the block itself (models/graph/trial.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import nn

from models import common
from models.activations import ACTIVATIONS
from models.attention import ATTENTION, options
from models.blocks import ghost, rare, v8
from models.graph.values import Arguments, as_number, is_number, is_whole
from models.heads.anchor_based import Detect
from models.own.adapter import own_kind
from models.own.convention import convention_of
from models.own.registry import own_named

BuildRule = Literal["stack", "concat", "keep", "norm", "head", "own"]
Gain = Callable[[int, Sequence[object]], int]
Factor = Callable[[Sequence[object]], float]
LARGEST_STEP, MOST_STEPS = 4096, 16  # factors beyond them leave no cell of any image


@dataclass(frozen=True, slots=True)
class Layer:
    """The meaning of a module's name in a YAML.

    Attributes:
        kind: class of the module.
        rule: how the module is built from the row, and what its output channels are. "stack" takes
            (c1, c2, …) and gives c2 channels; "concat" gives the sum of its inputs' channels;
            "keep" takes the arguments as they are and keeps the channels; "norm" takes the number
            of channels and keeps it; "head" is the last row; "own" is a class of a person's file
            (models/graph/own.py).
        repeats: whether a stack's third argument is the number of repeats. Other modules are built
            as many times as the row says, one after the other.
        gain: output channels of a "keep" row, from its input channels and its arguments.
        factor: how many times fewer cells per side the output has than the input, computed from
            the row's arguments as they are written; nan if they do not determine it. It is
            optional, because a trial run measures it too, only more slowly.
        place: the name, among the places of a graph, of the backbone's last row of this kind.
    """

    kind: type[nn.Module]
    rule: BuildRule
    repeats: bool = False
    gain: Gain = lambda channels, arguments: channels
    factor: Factor | None = None
    place: str = ""


def _keeps(arguments: Sequence[object]) -> float:
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


def _grows(position: int, default: float) -> Factor:
    """The factor of a layer whose argument says how many times more cells per side it gives."""
    inverse = shrinks(position, default)
    return lambda arguments: 1 / inverse(arguments)


def _pools(arguments: Sequence[object]) -> float:
    """A pool's stride, which is the side of its window where the row does not give one."""
    window = side_of(as_number(arguments[0])) if arguments else math.nan
    return shrinks(1, window)(arguments)


def side_of(value: object) -> float:
    """A number above 0, or the number that stands for both sides in a list; else nan."""
    if isinstance(value, (list, tuple)) and len(set(map(repr, value))) == 1:
        value = value[0]
    return float(value) if is_number(value) and value > 0 else math.nan


def _area(arguments: Sequence[object]) -> int:
    """Pixels of the patch that Contract turns into channels, or Expand makes of channels.

    Raises ValueError for arguments other than one whole number, the side of the patch.
    """
    gain = arguments[0] if arguments else 2
    if len(arguments) > 1 or not is_whole(gain) or gain < 1:
        raise ValueError("takes one whole number, the gain, 1 or more")
    return gain**2


def _stacks(factor: Factor, *kinds: type[nn.Module], repeats: bool = False) -> dict[str, Layer]:
    return {kind.__name__: Layer(kind, "stack", repeats, factor=factor) for kind in kinds}


def _keepers(factor: Factor, *kinds: type[nn.Module]) -> dict[str, Layer]:
    return {f"nn.{kind.__name__}": Layer(kind, "keep", factor=factor) for kind in kinds}


LAYERS: Mapping[str, Layer] = MappingProxyType(
    {
        **_stacks(shrinks(2, 1), common.Conv, common.DWConv, ghost.GhostConv, rare.MixConv2d),
        **_stacks(shrinks(2, 1), rare.CrossConv),
        **_stacks(shrinks(2, 1, times=2), rare.Focus),
        # The block itself halves the map at stride 2 and ignores any other stride.
        **_stacks(lambda args: 2.0 if shrinks(2, 1)(args) == 2 else 1.0, ghost.GhostBottleneck),
        **_stacks(_keeps, common.Bottleneck, rare.C3SPP),
        **_stacks(_grows(2, 1), rare.DWConvTranspose2d),
        **_stacks(_keeps, common.C3, rare.C3TR, ghost.C3Ghost, rare.C3x, repeats=True),
        **_stacks(_keeps, rare.BottleneckCSP, v8.C2, v8.C2f, v8.C3k, v8.C3k2, repeats=True),
        **_stacks(_keeps, v8.C2PSA, repeats=True),
        "SPPF": Layer(common.SPPF, "stack", factor=_keeps, place="sppf"),
        "SPP": Layer(rare.SPP, "stack", factor=_keeps, place="sppf"),
        "nn.ConvTranspose2d": Layer(nn.ConvTranspose2d, "stack", factor=_grows(2, 1)),
        **_keepers(_keeps, nn.ZeroPad2d, nn.ReflectionPad2d, nn.Dropout, nn.Dropout2d),
        **_keepers(_pools, nn.MaxPool2d, nn.AvgPool2d),
        **_keepers(_grows(1, math.nan), nn.Upsample),
        **{f"nn.{name}": Layer(kind, "keep", factor=_keeps) for name, kind in ACTIVATIONS.items()},
        "nn.BatchNorm2d": Layer(nn.BatchNorm2d, "norm", factor=_keeps),
        "Contract": Layer(
            rare.Contract,
            "keep",
            gain=lambda channels, arguments: channels * _area(arguments),
            factor=shrinks(0, 2),
        ),
        "Expand": Layer(
            rare.Expand,
            "keep",
            gain=lambda channels, arguments: channels // _area(arguments),
            factor=_grows(0, 2),
        ),
        "Concat": Layer(common.Concat, "concat", factor=_keeps),
        "Detect": Layer(Detect, "head"),
    }
)


def layer_named(module: str) -> Layer | None:
    """The entry of a module's name as rows write it, `torch.nn.X` for nn.X too, or None.

    A class of a person's own file comes before an entry of LAYERS.
    """
    own = own_named(module)
    if own is not None:
        is_attention = convention_of(own).is_attention
        return None if is_attention else Layer(own_kind(own), "own", convention_of(own).repeats)
    return LAYERS.get(module.removeprefix("torch."))


def factor_of(module: str, arguments: Arguments, repeats: int = 1) -> float:
    """How many times fewer cells per side a row's output has than its input, from its text alone.

    Args:
        module: name of the row's module.
        arguments: of the row, as they are written.
        repeats: of the row.

    Returns:
        The factor; nan where it cannot be told, as for a layer that does not declare one.
    """
    if module in ATTENTION:  # keeps the size, unless it has a stride
        if isinstance(arguments, dict):
            return side_of(arguments.get("stride", 1))
        return math.nan if "stride" in options(ATTENTION[module]) else 1.0
    layer = layer_named(module)
    if layer is None or layer.factor is None or isinstance(arguments, dict):
        return math.nan
    factor = layer.factor(arguments)
    return repeated(factor, 1 if layer.repeats else repeats)


def repeated(factor: float, repeats: int) -> float:
    """The factor of `repeats` equal layers in sequence; nan if no image would have a cell left."""
    if factor == 1:
        return 1.0
    is_possible = 1 / LARGEST_STEP <= factor <= LARGEST_STEP and repeats <= MOST_STEPS
    return factor**repeats if is_possible else math.nan
