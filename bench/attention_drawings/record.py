"""Records which tensor operations a module runs, and what each of them reads."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.attention_drawings.words import CONSTANTS, Words, describe, name_of
from models.attention import build_attention

# A map whose numbers of channels, rows and columns are told apart in the shapes of all results.
CHANNELS, HEIGHT, WIDTH = 256, 42, 56


@dataclass
class Node:
    """One operation.

    Attributes:
        lines: what it does; several lines for operations that were put together.
        inputs: numbers of the nodes that it reads.
        shape: of its result, without the batch.
        weighted: whether it reads a parameter.
        moves: whether it only reshapes or converts, so that a drawing leaves it out.
    """

    lines: list[str]
    inputs: list[int]
    shape: tuple[int, ...] = ()
    weighted: bool = False
    moves: bool = False


@dataclass
class Tape:
    """The operations of one run, in their order; node 0 is the input."""

    words: Words
    nodes: list[Node] = field(default_factory=list)

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


class Recorded(Tensor):
    """A tensor that writes every operation on it to a tape.

    Modules see that it is no ordinary tensor and run their plain form, as they do for exporters.
    """

    tape: Tape
    node: int

    @classmethod
    def __torch_function__(
        cls,
        func: Any,
        types: Iterable[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run func, and record it if its result has tensors."""
        given = kwargs or {}
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **given)
            read = [one for one in flat((args, given)) if hasattr(one, "tape")]
            found = [one for one in flat(result) if isinstance(one, Tensor)]
            if not read or not found or name_of(func) in CONSTANTS:
                return result
            return enter(func, args, given, read, result)


def enter(
    func: Any, args: Sequence[Any], given: dict[str, Any], read: Sequence[Recorded], result: Any
) -> Any:
    """Write an operation to the tape, and return its result with its tensors marked.

    Args:
        func: the function that ran.
        args: its arguments by position.
        given: its arguments by name.
        read: those arguments that are on the tape.
        result: what it returned.
    """
    tape, found = read[0].tape, [one for one in flat(result) if isinstance(one, Tensor)]
    text = describe(func, args, given, found, tape.words)
    inputs = list(dict.fromkeys(one.node for one in read))
    node = Node([text.label], inputs, without_batch(found[0]), text.weighted, text.moves)
    number = tape.add(node)
    if len(found) == 1:
        return mark(found[0], tape, number)
    parts = [mark(one, tape, tape.add(part_of(number, one))) for one in found]
    return type(result)(parts)


def part_of(number: int, part: Tensor) -> Node:
    """The node of one of several results."""
    return Node(["part"], [number], without_batch(part), moves=True)


def mark(value: Tensor, tape: Tape, node: int) -> Recorded:
    """Return value as a result of a node of the tape."""
    marked = value if isinstance(value, Recorded) else value.as_subclass(Recorded)
    marked.tape, marked.node = tape, node
    return marked


def flat(values: Any) -> Iterable[Any]:
    """All values in nested tuples, lists and dictionaries."""
    if isinstance(values, (tuple, list)):
        for one in values:
            yield from flat(one)
    elif isinstance(values, dict):
        yield from flat(list(values.values()))
    else:
        yield values


def without_batch(value: Tensor) -> tuple[int, ...]:
    shape = tuple(value.shape)
    return shape[1:] if shape[:1] == (1,) and len(shape) > 1 else shape


def record(name: str, channels: int = CHANNELS) -> list[Node]:
    """Run the attention module of a name once and return its operations.

    The last node is the one that gives the output. The map has no values (device meta), so this
    takes no time at any size.
    """
    torch.manual_seed(0)
    return record_module(build_attention(name, channels), (1, channels, HEIGHT, WIDTH))


def record_module(module: nn.Module, shape: tuple[int, int, int, int]) -> list[Node]:
    """Run a module once on a map of a shape, [1, C, H, W], and return its operations."""
    module = module.eval().to("meta")
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    tape = Tape(Words(names, shape[1:]))
    x = torch.empty(shape, device="meta")
    tape.add(Node(["x"], [], without_batch(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of options that suit other maps
        out = module(mark(x, tape, 0))
    tape.add(Node(["output"], [out.node], without_batch(out)))
    return tape.nodes
