"""The places inside a block where a row may put attention: `{inside: CBAM, place: output}`.

    branch     in each bottleneck, after its last convolution and before its input is added, where
               the papers of SE and CBAM put it; taken where a row names no place
    between    in each bottleneck, after its first convolution
    sum        in each bottleneck, after its input was added
    replace    instead of each bottleneck, in C2PSA instead of the self-attention of each block
    concat     before the block's last convolution, which reads the concatenated maps
    input      before the block
    output     behind the block, for a Conv after its activation

The row's number counts bottlenecks, as in the plain block. Some public parsers repeat the whole
block instead, one after the other, and `repeat: block` does the same.

Attention never renames the tensors of the block, so weights of the plain block fit; `replace`
alone removes those of what it replaces. Its own tensors are named after the module that it belongs
to: `m.0.attention.*` on a bottleneck's branch, and elsewhere `output_attention.*` or
`input_attention.*` below the module whose output or input it changes, such as
`cv3.input_attention.*` for the concatenation of a C3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import Tensor, nn

from models.blocks.v8 import PSABlock
from models.common import Bottleneck, Conv, Residual
from models.graph.values import is_number, shorten
from utils.errors import UserError


@dataclass(frozen=True, slots=True)
class Spot:
    """A point of a block where one attention module may act.

    Attributes:
        key: the part of the module's state-dict keys after the block's.
        width: channels of the map there.
        put: puts a module there.
    """

    key: str
    width: int
    put: Callable[[nn.Module], None]


# The spots of a place, from a block with its input and output channels.
Finder = Callable[[nn.Module, int, int], Iterator[Spot]]


def bottlenecks_of(module: nn.Module) -> list[tuple[str, Residual]]:
    """(name, block) of every bottleneck in a module, itself included."""
    return [(name, block) for name, block in module.named_modules() if isinstance(block, Residual)]


def _branches(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    for path, inner in bottlenecks_of(block):
        yield Spot(_join(path, "attention"), inner.outputs, partial(setattr, inner, "attention"))


def _first_convolutions(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    for path, inner in bottlenecks_of(block):
        first = getattr(inner, "cv1", None)
        if isinstance(first, Conv):
            yield _behind(_join(path, "cv1"), first, first.conv.out_channels)


def _sums(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    for path, inner in bottlenecks_of(block):
        yield _behind(path, inner, inner.outputs)


def _replaced(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    for path, inner in block.named_modules():
        parent, _, name = path.rpartition(".")
        if isinstance(inner, Residual) and path:
            yield Spot(path, inner.outputs, partial(setattr, block.get_submodule(parent), name))
        elif isinstance(inner, PSABlock):
            width = inner.attn.proj.conv.out_channels
            yield Spot(_join(path, "attn"), width, partial(setattr, inner, "attn"))


def _concatenation(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    name = getattr(block, "merge", "")
    last = getattr(block, name, None) if name else None
    if isinstance(last, Conv):
        yield _before(name, last, last.conv.in_channels)


def _inputs(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    yield _before("", block, inputs)


def _outputs(block: nn.Module, inputs: int, outputs: int) -> Iterator[Spot]:
    yield _behind("", block, outputs)


def _join(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _behind(path: str, module: nn.Module, width: int) -> Spot:
    """The spot at the output of a module whose path in the block is given."""

    def put(attention: nn.Module) -> None:
        module.output_attention = attention
        module.register_forward_hook(_attend_output)

    return Spot(_join(path, "output_attention"), width, put)


def _before(path: str, module: nn.Module, width: int) -> Spot:
    """The spot at the input of a module whose path in the block is given."""

    def put(attention: nn.Module) -> None:
        module.input_attention = attention
        module.register_forward_pre_hook(_attend_input)

    return Spot(_join(path, "input_attention"), width, put)


# Hooks act on a class that knows nothing of attention, whoever wrote it, and stay where they are
# when a Conv is fused. They take the attention from their module, so that a deep copy of the
# network, such as the EMA's, uses its own.


def _attend_output(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    attended: Tensor = module.get_submodule("output_attention")(out)
    return attended


def _attend_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (module.get_submodule("input_attention")(inputs[0]),)


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """A place of blocks: how sentences say it, and where it is in a given block."""

    words: str
    find: Finder


PLACES: Mapping[str, BlockPlace] = MappingProxyType(
    {
        "branch": BlockPlace("inside each bottleneck, before the addition", _branches),
        "replace": BlockPlace(
            "instead of each bottleneck, in C2PSA of the self-attention", _replaced
        ),
        "concat": BlockPlace("on the concatenation before the last convolution", _concatenation),
        "output": BlockPlace("on its output", _outputs),
        "input": BlockPlace("on its input", _inputs),
        "between": BlockPlace(
            "inside each bottleneck, after the first convolution", _first_convolutions
        ),
        "sum": BlockPlace("inside each bottleneck, after the addition", _sums),
    }
)
DEFAULT_PLACE = "branch"
# Of the mapping; the rest are the attention's options.
SETTINGS = ("inside", "place", "bottleneck", "repeat")
REPEATED = ("bottleneck", "block")  # of which the row's number counts copies, the first by default


def places_of(block: nn.Module) -> list[str]:
    """The places that a block has, the one where forks usually put attention first."""
    return [name for name, place in PLACES.items() if next(place.find(block, 1, 1), None)]


def spots_of(block: nn.Module, place: str, inputs: int, outputs: int) -> list[Spot]:
    """The points of a block that a place stands for.

    Args:
        block: the block, with no attention in it yet.
        place: a name of PLACES.
        inputs: channels of the map that it reads.
        outputs: channels of the map that it gives.

    Returns:
        One or more spots.

    Raises:
        UserError: The block has no such place.
    """
    found = list(PLACES[place].find(block, inputs, outputs))
    if not found:
        known, name = places_of(block), type(block).__name__
        what = "bottlenecks" if place == DEFAULT_PLACE else f"place {place}"
        raise UserError(
            f"inside: {name} has no {what}; write one of its places, such as"
            f" {{place: {known[0]}}}, from {', '.join(known)}"
        )
    return found


def resize_bottlenecks(block: nn.Module, share: object) -> None:
    """Give the bottlenecks of a block another width between their convolutions.

    Forks that copied C3 differ in it. The weights of the rest of the block do not change.

    Args:
        block: changed in place.
        share: the width as a share of the bottlenecks' outputs, above 0 and up to 4.

    Raises:
        UserError: share is no such number, or the block has no bottlenecks of a variable width.
    """
    if not is_number(share) or not 0 < share <= 4:
        raise UserError(f"bottleneck: {shorten(share)}: must be a number above 0, such as 0.5")
    found = [(path, one) for path, one in bottlenecks_of(block) if isinstance(one, Bottleneck)]
    for path, inner in found:
        if not path:
            raise UserError("bottleneck: is this row's own fourth argument; write it there")
        parent, _, name = path.rpartition(".")
        setattr(block.get_submodule(parent), name, inner.resized(float(share)))
    if not found:
        raise UserError(f"bottleneck: {type(block).__name__} has none of a variable width")
