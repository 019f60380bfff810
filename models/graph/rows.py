"""Read the rows of a graph: check their four parts, resolve references, assign keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from models.attention import ATTENTION
from models.graph.block_names import BlockName, expand_block, read_block_name
from models.graph.inside import DEFAULT_PLACE, PLACES, REPEATED
from models.graph.layers import layer_named
from models.graph.stages import Step, stride_after, to_numbers
from models.graph.structure import Graph, Row
from models.graph.trial import stride_factor
from models.graph.values import MOST, Arguments, Note, check_argument, is_whole, shorten
from models.own.registry import own_named
from utils.errors import UserError

MOST_ROWS = 1000  # of backbone or head
MOST_REPEATS = 2000  # of all rows of a graph
WrittenSource = int | str | list[int | str]


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """A row as written in the file, with parts of the right types.

    Attributes:
        source: `from`: a row's number or name, or a list of them.
        repeats: `number`.
        module: name of the block.
        arguments: a list without the mapping `inside`, or for attention a mapping.
        inside: that mapping, which names attention inside the block.
        alias: the name as written if it joins a block and attention, such as C3SE, else "".
        note: what such a name is taken for.
    """

    source: WrittenSource
    repeats: int
    module: str
    arguments: Arguments
    inside: dict[str, object] | None
    alias: str = ""
    note: str = ""


def check_row(where: str, row: object) -> WrittenRow:
    """Check the four parts of a row.

    Raises UserError, beginning with `where` (file and row), for a part of a wrong type.
    """
    if not isinstance(row, list) or len(row) != 4:
        raise UserError(
            f"{where}: {shorten(row)}: must be a list of four, [from, number, module, args]"
        )
    source, repeats, module, written = row
    sources = source if isinstance(source, list) else [source]
    are_rows = all(is_whole(one) or isinstance(one, str) for one in sources)
    if not 1 <= len(sources) <= MOST_ROWS or not are_rows:
        raise UserError(
            f"{where}: from {shorten(source)}: must be a row number, -1 for the row before, a name"
            " as backbone.P4, or a list of such"
        )
    if not is_whole(repeats) or not 1 <= repeats <= MOST:
        raise UserError(f"{where}: number {shorten(repeats)}: must be a whole number, 1 or more")
    if not isinstance(module, str):
        raise UserError(f"{where}: module {shorten(module)}: must be a name such as Conv")
    name = read_block_name(module)
    arguments, inside = split_inside(_expand(where, name, written) if name else written)
    _check_arguments(where, arguments)
    if inside is not None:
        _check_inside(where, inside)
    if name is None:
        return WrittenRow(source, repeats, module, arguments, inside)
    note = name.note(inside) if inside and not _states_place(written) else ""
    return WrittenRow(source, repeats, name.base, arguments, inside, module, note)


def _expand(where: str, name: BlockName, written: Arguments) -> Arguments:
    """The arguments of a row whose name joins a block and attention, as the block's row has them.

    Anything but a list is left as it is; building the row refuses it.
    """
    try:
        return expand_block(name, written) if isinstance(written, list) else written
    except UserError as error:
        raise UserError(f"{where}: {name.written} {error}") from None


def _states_place(written: Arguments) -> bool:
    return bool(written) and isinstance(written, list) and "place" in _trailing(written)


def _trailing(written: list[object]) -> dict[str, object]:
    last = written[-1]
    return last if isinstance(last, dict) else {}


def _check_arguments(where: str, arguments: object) -> None:
    if isinstance(arguments, dict) and all(isinstance(name, str) for name in arguments):
        values = list(arguments.values())
    elif isinstance(arguments, list):
        values = arguments
    else:
        raise UserError(
            f"{where}: args {shorten(arguments)}: must be a list, or for attention a mapping"
            " {name: value}"
        )
    for value in values:
        check_argument(where, value)


def split_inside(arguments: Arguments) -> tuple[Arguments, dict[str, object] | None]:
    """Split off the trailing mapping {inside: SimAM, …}, the attention inside the block.

    Returns the other arguments, and the mapping or None.
    """
    if isinstance(arguments, list) and arguments:
        last = arguments[-1]
        if isinstance(last, dict) and "inside" in last:
            return arguments[:-1], last
    return arguments, None


def _check_inside(where: str, inside: dict[str, object]) -> None:
    known = isinstance(inside["inside"], str) and inside["inside"] in ATTENTION
    if not known or not all(isinstance(name, str) for name in inside):
        remedy = (
            "must name the attention that each bottleneck gets, such as {inside: SimAM}, and its"
            " arguments"
        )
        raise UserError(f"{where}: {shorten(inside)}: {remedy}")
    place = inside.get("place", DEFAULT_PLACE)
    if place not in tuple(PLACES):
        raise UserError(f"{where}: place: {shorten(place)}: must be one of {', '.join(PLACES)}")
    repeat = inside.get("repeat", REPEATED[0])
    if repeat not in REPEATED:
        raise UserError(f"{where}: repeat: {shorten(repeat)}: must be {' or '.join(REPEATED)}")
    for value in inside.values():
        check_argument(where, value)


def read_rows(
    graph: Graph, content: Mapping[str, object], depth: float
) -> tuple[tuple[Row, ...], tuple[Step, ...]]:
    """Check, number and name the rows of backbone and head.

    Args:
        graph: the graph, complete except for its rows.
        content: the dictionary that has the rows.
        depth: factor of the repeats.

    Returns:
        The rows, and for each the Step with its stride.

    Raises:
        UserError: A row is malformed, reads a row that it cannot read, or is one too many.
    """
    backbone, head = (_part(graph.file, content, part) for part in ("backbone", "head"))
    rows: list[Row] = []
    steps: list[Step] = []
    base = -1  # number of the last row that is not attention
    for index, given in enumerate([*backbone, *head]):
        where = f"{graph.file}: row {index}"
        written = check_row(where, given)
        attention = ATTENTION.get(written.module)
        own = own_named(written.module)
        # An own class in a mapping is not told output channels, so it keeps those of its map.
        keeps = attention is not None or (own is not None and isinstance(written.arguments, dict))
        base += not keeps
        key = str(base)
        if keeps:
            name = attention.__name__ if attention is not None else written.module
            key = _attention_key(base, name, {row.key for row in rows})
        source = to_numbers(where, written.source, steps)
        row = Row(
            index=index,
            source=source,
            inputs=_resolve(where, index, source),
            # YOLOv5 does not scale a row of one repeat.
            repeats=max(round(written.repeats * depth), 1) if written.repeats > 1 else 1,
            module=written.module,
            arguments=written.arguments,
            key=key,
            inside=written.inside,
            alias=written.alias,
            note=written.note,
        )
        rows.append(row)
        # Each repeat is a module, so a small file could otherwise build a network of any size.
        if sum(row.repeats for row in rows) > MOST_REPEATS:
            raise UserError(
                f"{where}: number {written.repeats}: too many repeats; at most {MOST_REPEATS} in a"
                " graph"
            )
        factor = stride_factor(graph, row, _strides(steps, row.inputs))
        stride = stride_after(steps, row.inputs, factor, _followed(row))
        kinds = (index < len(backbone), attention is not None)
        steps.append(Step(index, row.module, row.inputs, stride, *kinds))
    return tuple(rows), tuple(steps)


def _followed(row: Row) -> int:
    """Position among a row's inputs of the map whose size its output has."""
    layer = layer_named(row.module)
    return min(layer.follows, len(row.inputs) - 1) if layer else 0


def name_notes(file: str, rows: Sequence[Row]) -> list[Note]:
    """What names such as C3SE were taken for, each once with the numbers of its rows."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if row.note:
            found.setdefault(row.note, []).append(row.index)
    return [
        Note(f"{file}: row{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}: {note}")
        for note, indices in found.items()
    ]


def _strides(steps: Sequence[Step], inputs: Sequence[int]) -> list[float]:
    """Pixels per cell of each map that a row reads."""
    return [steps[source].stride if source >= 0 else 1.0 for source in inputs]


def _part(file: str, content: Mapping[str, object], part: str) -> list[object]:
    rows = content[part]
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_ROWS:
        raise UserError(
            f"{file}: {part}: {shorten(rows)}: must be a list of rows [from, number, module, args]"
        )
    return rows


def _attention_key(base: int, name: str, taken: set[str]) -> str:
    """`9_SimAM` for an attention row after base row 9, then `9_SimAM_2` and so on.

    This way base rows keep the numbers, and the weights, of the graph without attention.
    """
    stem = f"{base if base >= 0 else 'input'}_{name}"
    if stem not in taken:
        return stem
    return next(key for number in count(2) if (key := f"{stem}_{number}") not in taken)


def _resolve(where: str, index: int, source: int | Sequence[int]) -> tuple[int, ...]:
    """`from` as row numbers: negatives count back from this row, others from the top.

    -1 in the result is the image, which only the first row can read.
    """
    resolved = []
    for value in source if isinstance(source, Sequence) else [source]:
        target = value + index if value < 0 else value
        if target >= index:
            what = "this row itself" if target == index else "a row that comes later"
            remedy = (
                f"names {what}, and a graph must not be cyclic; use a number from 0 to {index - 1},"
                " or -1"
            )
            raise UserError(
                f"{where}: from {value}: {remedy if index else 'the first row can only read -1'}"
            )
        if target < -1 or (target == -1 and index):
            raise UserError(
                f"{where}: from {value}: there is no row {target}; count back at most {index} rows"
            )
        resolved.append(target)
    return tuple(resolved)
