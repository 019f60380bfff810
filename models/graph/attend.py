"""Attention in a graph: rows of it, and attention inside the blocks of other rows.

models/attention makes the modules themselves, and models/graph/inside.py knows the places inside a
block. Here arguments are read, and suspicious ones become warnings that name file and row.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.attention import ATTENTION, ATTENTION_INITS, build_attention
from models.attention._arguments import read_list, usual_options
from models.graph.build import BuiltRow, argument_of
from models.graph.inside import DEFAULT_PLACE, SETTINGS, resize_bottlenecks, spots_of
from models.graph.layers import layer_named
from models.graph.meanings import complete_list
from models.graph.own import measured_width
from models.graph.structure import Graph, Row
from models.graph.values import shorten
from utils.errors import UserError
from utils.seeds import caught_warnings, torch_stream


def build_attention_row(graph: Graph, row: Row, incoming: list[int]) -> BuiltRow:
    """The modules of an attention row.

    Args:
        graph: the graph of the row.
        row: the row to build, whose arguments are a list or a mapping.
        incoming: a list of one number, the channels of the map that it reads.

    Returns:
        The modules, with a warning if the row declares other channels than it gets.

    Raises:
        UserError: The module refuses an argument, or changes the channels and is repeated.
    """
    channels = incoming[0]
    options, notes = attention_options(graph, row, channels)
    copies = [build_attention(row.module, channels, **options) for _ in range(row.repeats)]
    width = measured_width(graph, row, copies[0], channels)
    if width != channels and len(copies) > 1:
        raise UserError(
            f"number {row.repeats}: must be 1 where the number of channels changes, {channels} to"
            f" {width} here"
        )
    return BuiltRow(copies, width, [channels, options], notes)


def attention_options(graph: Graph, row: Row, channels: int) -> tuple[dict[str, Any], list[str]]:
    """Keyword arguments of an attention row.

    Args:
        graph: the graph of the row.
        row: an attention row.
        channels: of the map that it reads.

    Returns:
        The arguments; and a warning about channels that the row misstates, and notes.

    Raises:
        ValueError: The module does not take such a list.
    """
    kind, notes = ATTENTION[row.module], list[str]()
    if isinstance(row.arguments, dict):
        found = {key: graph.interpret(value) for key, value in row.arguments.items()}
    else:
        given = [argument_of(graph, value) for value in row.arguments]
        found, fault = read_list(kind, given, channels, graph.scaled, row.module)
        notes = [_warning(graph, row, f"{shorten(given)}: {fault}")] if fault else []
        found, said = complete_list(graph, row, given, found)
        notes += said
    if graph.attention_init != ATTENTION_INITS[0]:
        found = {"init": graph.attention_init, **found}
    return found, notes


def fill_inside(
    graph: Graph, row: Row, built: BuiltRow, incoming: Sequence[int], seed: int
) -> list[str]:
    """Build the attention that a row requests inside its block.

    Each module draws its weights from a stream of its own, named by its state-dict key, so that
    all other modules start with the same weights with and without it.

    Args:
        graph: the graph of the row.
        row: the row, which need not request any.
        built: its modules, which are filled in place.
        incoming: channels of each map that it reads.
        seed: of the initial weights.

    Returns:
        Warnings.

    Raises:
        UserError: The block has no such place, or the attention changes the number of channels.
    """
    if row.inside is None:
        return []
    if not takes_inside(row.module):
        raise UserError(f"inside: {row.module} takes none; put the attention into a row of its own")
    notes: list[str] = []
    given = {name: graph.interpret(value) for name, value in row.inside.items()}
    kind, place = str(given["inside"]), str(given.get("place", DEFAULT_PLACE))
    found = {name: value for name, value in given.items() if name not in SETTINGS}
    options: dict[str, Any] = {"init": graph.attention_init, **found}
    for number, block in enumerate(built.copies):
        if "bottleneck" in given:
            resize_bottlenecks(block, given["bottleneck"])
        copy = [str(number)] if len(built.copies) > 1 else []
        for spot in spots_of(block, place, incoming[0], built.width):
            key = ".".join(["model", row.key, *copy, spot.key])
            usual = usual_options(ATTENTION[kind], spot.width) if row.alias else {}
            with torch_stream(seed, key), collect_warnings(graph, row, notes):
                attention = build_attention(kind, spot.width, **{**usual, **options})
            if measured_width(graph, row, attention, spot.width) != spot.width:
                raise UserError("inside: must keep the number of channels; leave out_channels out")
            spot.put(attention)
    return list(dict.fromkeys(notes))


def takes_inside(module: str) -> bool:
    """Whether a row of this name has a block that attention can go into."""
    layer = layer_named(module)
    return layer is not None and layer.rule == "stack"


@contextlib.contextmanager
def collect_warnings(graph: Graph, row: Row, notes: list[str]) -> Iterator[None]:
    """Append the warnings of attention modules to notes, with the file and the row."""
    with caught_warnings() as caught:
        yield
    # Warnings of PyTorch are caught too. They are dropped, since a graph cannot do anything about
    # them.
    ours = [warning for warning in caught if Path(warning.filename).parent.name == "attention"]
    notes += [
        _warning(graph, row, f"{shorten(row.arguments)}: {warning.message}") for warning in ours
    ]


def _warning(graph: Graph, row: Row, text: str) -> str:
    return f"{graph.file}: row {row.index}: {row.module} {text}"
