"""Rows of a person's own classes: which arguments they get, and what they give.

models/own finds out how a class wants its channels. A row that reads several maps tries the ways in
which fusion classes take theirs. The output's channels and size are found by running the class on
small maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from models.attention._identity import start_as_identity
from models.graph.build import BuiltRow, argument_of, row_arguments, stack_width
from models.graph.entries import Layer
from models.graph.factors import repeated
from models.graph.structure import Graph, Row
from models.graph.values import Note
from models.own.adapter import OwnModule, call_text, output_shape
from models.own.attention import SMALLEST_COUNT, options_of, without_counts
from models.own.convention import CHANNELS, announce, convention_of
from models.own.registry import OwnClass
from utils.errors import UserError

Shape = tuple[int, int, int, int]  # [B, C, H, W]
PROBE_PX = 256  # side of the image whose maps the trial gets
USUAL_SIDE = 32  # of a map whose stride is unknown, cells
FACTOR_SIDES = (32, 64)  # of the coarsest map, for the factor


@dataclass(frozen=True, slots=True)
class _Given:
    """What a row gives a class: values in order, options by name, and how the class starts."""

    values: list[object]
    options: dict[str, object]
    init: object


def build_own_row(graph: Graph, row: Row, layer: Layer, incoming: Sequence[int]) -> BuiltRow:
    """The modules of a row of an own class.

    Args:
        graph: the graph of the row.
        row: the row to build.
        layer: its entry, whose kind is an OwnModule.
        incoming: channels of each map that it reads.

    Returns:
        The modules, with the output channels that a trial showed.

    Raises:
        UserError: The class refuses the arguments or the maps.
    """
    own = _own_of(layer.kind)
    announce(own)
    given = _read(graph, row, own)
    sides = _sides(graph, row)
    shapes = [(1, *shape) for shape in zip(incoming, sides, sides, strict=True)]
    calls = list(_calls(graph, row, own, incoming, given))
    args, (_, width, *_) = _choose(row, own, calls, shapes, given)
    count = 1 if layer.repeats else row.repeats
    if count > 1 and width != incoming[0]:
        raise UserError(
            f"number {row.repeats}: must be 1 where the number of channels changes, {incoming[0]}"
            f" to {width} here"
        )
    copies: list[nn.Module] = [layer.kind(*args, **given.options) for _ in range(count)]
    if given.init == "identity":
        copies = [start_as_identity(copy) for copy in copies]
    shown = [*args, given.options] if given.options else args
    notes = list[str]()
    if args != calls[0] and not isinstance(row.source, list):
        notes.append(_note(own, calls[0], args))
    return BuiltRow(copies, width, shown, notes)


def _note(own: OwnClass, usual: list[object], args: list[object]) -> Note:
    """What was taken where the usual meaning of a row does not run."""
    return Note(
        f"{own.file.name}: {own.name}{call_text(args, {})} is taken, since"
        f" {own.name}{call_text(usual, {})} does not run"
    )


def _own_of(kind: type[nn.Module]) -> OwnClass:
    assert issubclass(kind, OwnModule)
    return kind.own


def _read(graph: Graph, row: Row, own: OwnClass) -> _Given:
    """The row's arguments. A mapping gives options by their names, a list by their order."""
    if not isinstance(row.arguments, dict):
        return _Given(row_arguments(graph, row), {}, "paper")
    options = {name: argument_of(graph, value) for name, value in row.arguments.items()}
    # Only attention takes its start from the whole graph: a block has a task of its own.
    init = options.pop("init", "paper")
    out = [one.name for one in own.parameters[1:2] if convention_of(own).style == "both"]
    values = [options.pop(name) for name in out if name in options]
    known = {one.name for one in options_of(own)}
    for name in options:
        if name not in known:
            raise UserError(f"{name}: {own.file.name}: {own.name} takes {own.signature}")
    return _Given(values, options, init)


def _choose(
    row: Row,
    own: OwnClass,
    calls: Iterable[list[object]],
    shapes: Sequence[Shape],
    given: _Given,
) -> tuple[list[object], torch.Size]:
    """The arguments of the first call that runs on maps of these shapes, and the output's shape.

    Raises the UserError of the first call if none runs.
    """
    first_error = None
    for args in calls:
        try:
            as_list = isinstance(row.source, list)
            return args, output_shape(own, args, given.options, shapes, as_list)
        except UserError as error:
            first_error = first_error or error
    assert first_error is not None
    raise first_error


def _sides(graph: Graph, row: Row) -> list[int]:
    """Cells per side of each map that a row reads, for an image of PROBE_PX."""
    strides = [graph.steps[one].stride if one >= 0 else 1.0 for one in row.inputs if graph.steps]
    if len(strides) != len(row.inputs) or any(math.isnan(one) for one in strides):
        return [USUAL_SIDE] * len(row.inputs)
    return [max(int(PROBE_PX / one), 1) for one in strides]


def _calls(
    graph: Graph, row: Row, own: OwnClass, incoming: Sequence[int], given: _Given
) -> Iterator[list[object]]:
    """Arguments of the constructor, the likeliest first."""
    convention, channels = convention_of(own), incoming[0]
    repeats = [row.repeats] * convention.repeats
    if convention.style == "both":
        out, others = _outputs(graph, own, channels, given.values)
        rest = [out, *repeats, *others]
    else:
        rest = without_counts(options_of(own), given.values, channels, graph.scaled)
    if not isinstance(row.source, list):
        yield rest if convention.style == "none" else [channels, *rest]
        if convention.style == "both" and given.values:
            # Some parsers do not scale a row, and some give no channels out in attention's.
            yield [channels, given.values[0], *repeats, *given.values[1:]]
            yield [channels, channels, *repeats, *given.values]
        return
    # Fusion classes take the list of all channels, or one number: of each map, or of their
    # concatenation.
    if convention.style == "none":
        yield rest
    for inputs in (list(incoming), channels, sum(incoming)):
        yield [inputs, *rest]


def _outputs(
    graph: Graph, own: OwnClass, channels: int, given: Sequence[object]
) -> tuple[int, list[object]]:
    """The output channels of a class that is given them, and the row's other values.

    A row without them keeps the channels of its map.
    """
    values = list(given)
    if not values or values[0] is None:
        return channels, values[1:]
    # Some files write the channels of the input too.
    is_twice = values[1:2] == values[:1] and _is_count(values[0])
    if is_twice or (len(values) > 1 + len(options_of(own)) and _is_count(values[1])):
        values.pop(0)
    return stack_width(graph, values), values[1:]


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= SMALLEST_COUNT


def measured_width(graph: Graph, row: Row, module: nn.Module, channels: int) -> int:
    """Channels that attention gives for a map of `channels`.

    A person's class is run for it; a class of ours has them as `out_channels` where they change.
    """
    if not isinstance(module, OwnModule):
        return getattr(module, "out_channels", channels)
    args, options = module.own_call
    (side,) = _sides(graph, row)[:1]
    return output_shape(module.own, args, options, [(1, channels, side, side)])[1]


def own_factor(graph: Graph, row: Row, own: OwnClass, strides: Sequence[float]) -> float:
    """How many times fewer cells per side the output of an own row has than its first map.

    Args:
        graph: the graph, whose rows need not be known yet.
        row: the row.
        own: its class.
        strides: of the maps that it reads; nan where unknown.

    Returns:
        The factor; nan if a trial does not show it.
    """
    if any(math.isnan(one) for one in strides):
        strides = [1.0] * len(strides)
    ratios = [max(strides) / one for one in strides]
    incoming, heights = [CHANNELS] * len(ratios), list[int]()
    try:
        given = _read(graph, row, own)
        for side in FACTOR_SIDES:
            sides = [int(side * ratio) for ratio in ratios]
            shapes = [(1, CHANNELS, one, one) for one in sides]
            calls = _calls(graph, row, own, incoming, given)
            heights.append(_choose(row, own, calls, shapes, given)[1][2])
    except UserError:  # building the whole graph reports it, with the real maps
        return math.nan
    gained = heights[1] - heights[0]
    factor = ratios[0] * (FACTOR_SIDES[1] - FACTOR_SIDES[0]) / gained if gained > 0 else math.nan
    return repeated(factor, 1 if convention_of(own).repeats else row.repeats)
