"""References in `from` that probably name the wrong row.

A skip connection may read a map before its stage is complete or before the attention on it, or a
number was not adjusted when rows were inserted above. Each function examines a graph and the sizes
of its maps and yields Slips, which models/lint/wiring_rules.py puts into words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from models.attention import ATTENTION
from models.graph.layers import is_join
from models.graph.purpose import feeds_spread, fitting_end
from models.graph.structure import Graph, MapSize, Row, readers_of, unread_rows

MapSizes = Sequence[MapSize]  # of the rows that ran, by their numbers


@dataclass(frozen=True, slots=True)
class Slip:
    """A reference that probably means another row.

    Attributes:
        reader: the row whose `from` has the reference.
        position: its position there.
        read: number of the row that it names.
        meant: number of the row that was probably meant; -1 if it is unknown.
    """

    reader: Row
    position: int
    read: int
    meant: int


def stage_end(graph: Graph, start: int, sizes: MapSizes, reader: Row | None = None) -> int:
    """The end of the stage that a row belongs to.

    A stage is a run of rows of one size that each read the row before. A Concat or other row
    that joins something to the row before continues its stage.

    Args:
        graph: the graph.
        start: number of a row of the stage.
        sizes: (height, width) of each row's map.
        reader: the row whose reference to the stage is examined. The stage ends before it, and
            before attention that only the head reads, unless the reader is the head.

    Returns:
        The number of the last row.
    """
    head = graph.rows[-1]
    last = (reader or head).index
    end = start
    while end >= 0 and end + 1 < min(last, len(sizes)) and sizes[end + 1] == sizes[start]:
        row = graph.rows[end + 1]
        continues = end in row.inputs and (len(row.inputs) == 1 or is_join(row.module))
        if (
            not continues
            or feeds_spread(graph, end + 1)
            or (reader not in (None, head) and is_aside(graph, row.index, ATTENTION))
        ):
            break
        end += 1
    return end


def early(graph: Graph, sizes: MapSizes) -> Iterator[Slip]:
    """Maps that Concat or the head reads before their stage is complete.

    In YOLO's graphs every such reference names the last row of a stage, and the row before it has
    the same size. So a graph in which one row was inserted and the numbers after it were not
    adjusted still runs, on incomplete maps.
    """
    # A map of the wrong size stops the graph. That is the fault to report, not where a stage ends.
    unfit = {(slip.reader.index, slip.position) for slip in unlike(graph, sizes)}
    for reader in graph.rows[: len(sizes) + 1]:
        for position, source in enumerate(reader.inputs if isinstance(reader.source, list) else ()):
            end = fitting_end(graph, reader, source, stage_end(graph, source, sizes, reader))
            if end != source and end not in reader.inputs and (reader.index, position) not in unfit:
                yield Slip(reader, position, source, end)


def passed_by(graph: Graph, sizes: MapSizes) -> list[str]:
    """A warning for each map that Concat or the head reads before its stage is complete."""
    found = []
    for slip in early(graph, sizes):
        reader = slip.reader
        read, meant = (
            f"row {index}, {graph.rows[index].module}" for index in (slip.read, slip.meant)
        )
        found.append(
            f"{graph.file}: row {reader.index}: {reader.module} from {reader.source}: reads {read},"
            f" whose stage goes on to {meant}, of the same size; {slip.meant} was probably meant,"
            " as rows inserted above move the numbers"
        )
    return list(dict.fromkeys(found))


def passing(graph: Graph) -> Iterator[Slip]:
    """Rows that read the map that attention above them reads, instead of the attention's.

    The attention then acts on some of the paths only. That is intended where nothing but the head
    reads the attention, where several attention rows stand side by side, and where a branch names
    the plain map by its number while a later row joins the attention's.
    """
    for row in graph.rows:
        if row.module not in ATTENTION:
            continue
        # Attention reads one map. Where a file says otherwise, the row cannot be built anyway.
        (source,) = set(row.inputs) if len(row.inputs) == 1 else (-1,)
        for reader in readers_of(graph, source) if source >= 0 else ():
            beside = reader.module in ATTENTION or row.index in reader.inputs
            aside = reader is not graph.rows[-1] and is_aside(graph, row.index, ATTENTION)
            branch = isinstance(reader.source, int) and _is_joined(graph, row)
            if reader.index > row.index and not (beside or aside or branch):
                yield Slip(reader, reader.inputs.index(source), source, row.index)


def _is_joined(graph: Graph, row: Row) -> bool:
    """Whether a row that joins maps, other than the head, reads this one."""
    readers = readers_of(graph, row.index)
    return any(isinstance(one.source, list) for one in readers if one is not graph.rows[-1])


def unlike(graph: Graph, sizes: MapSizes) -> Iterator[Slip]:
    """Maps of the wrong size at the Concat or other join where a graph stopped running."""
    reader = graph.rows[min(len(sizes), len(graph.rows) - 1)]
    if not sizes or not is_join(reader.module, of_one_size=True):
        return
    before = reader.index - 1
    found = [sizes[source] for source in reader.inputs]
    wanted = sizes[before] if before in reader.inputs else Counter(found).most_common(1)[0][0]
    for position, (source, size) in enumerate(zip(reader.inputs, found, strict=True)):
        if size != wanted:
            yield Slip(reader, position, source, _nearest(graph, sizes, reader, source, wanted))


def _nearest(graph: Graph, sizes: MapSizes, reader: Row, source: int, wanted: MapSize) -> int:
    """The row that a reference to a map of the wrong size probably means, -1 for none.

    It is the end of a stage of the wanted size: the one that the number named before attention was
    inserted, or else the nearest.

    Args:
        graph: the graph.
        sizes: (height, width) of each row's map.
        reader: the row that has the reference.
        source: number of the row that the reference names.
        wanted: (height, width) of the map that fits.
    """
    ends = [
        row
        for row in range(reader.index - 1)
        if sizes[row] == wanted and stage_end(graph, row, sizes, reader) == row
    ]  # fmt: skip
    before = moved(graph, source, sizes, reader)
    if before in ends:
        return before
    inserted = sum(row.module in ATTENTION for row in graph.rows[: reader.index])
    # A number that was not moved is off by at most the rows inserted before it.
    near = [row for row in ends if abs(row - source) <= 2 * inserted + 2]
    return min(near, key=lambda row: (abs(row - source), row < source), default=-1)


def moved(graph: Graph, number: int, sizes: MapSizes, reader: Row) -> int:
    """The row that a number means if attention rows are not counted.

    That is what it meant in the graph before they were inserted.

    Args:
        graph: the graph.
        number: the reference.
        sizes: (height, width) of each row's map.
        reader: the row that has the reference.

    Returns:
        The end of the stage of that row; -1 if there is none above the reader.
    """
    rows = [
        row.index
        for row in graph.rows
        if row.key == str(number) and row.index < min(reader.index, len(sizes))
    ]
    return stage_end(graph, rows[0], sizes, reader) if rows else -1


def levels(graph: Graph, sizes: MapSizes) -> Iterator[Slip]:
    """Levels of the head that are out of order.

    Each must be coarser than the one before, or each finer, in the order of their anchors.
    """
    head = graph.rows[-1]
    if len(sizes) < head.index or in_order(graph, sizes, head.inputs):
        return
    # Three ways in which levels get out of order: numbers were not moved, they were mixed up, or
    # they name rows that are no longer the last of their size.
    guesses = [
        [moved(graph, source, sizes, head) for source in head.inputs],
        sorted(head.inputs, key=lambda source: -sizes[source][0]),
        _last_of_each_size(graph, sizes),
    ]
    fitting = [guess for guess in guesses if in_order(graph, sizes, guess)]
    for position, source in enumerate(head.inputs):
        meant = fitting[0][position] if fitting else -1
        if meant != source:
            yield Slip(head, position, source, meant)


def in_order(graph: Graph, sizes: MapSizes, rows: Sequence[int]) -> bool:
    """Whether these rows could be the levels of the head.

    Sizes must fall strictly, or rise strictly, as the anchors rise or fall.
    """
    if len(rows) != len(graph.rows[-1].inputs) or min(rows) < 0:
        return False
    sides = [sizes[row][0] for row in rows]
    falling = all(first > second for first, second in pairwise(sides))
    rising = all(first < second for first, second in pairwise(sides))
    if not isinstance(graph.anchors, tuple) or len(graph.anchors) < 2:
        return falling or rising
    areas = [sum(width * height for width, height in level) for level in graph.anchors]
    return falling if areas[0] <= areas[-1] else rising


def _last_of_each_size(graph: Graph, sizes: MapSizes) -> list[int]:
    """The last row of each size, fine before coarse, for as many sizes as the head has levels.

    Rows of the backbone are levels only where the head reads some of them.
    """
    last: dict[tuple[int, int], int] = {}
    has_backbone = any(graph.steps[source].in_backbone for source in graph.rows[-1].inputs)
    neck = [step.index for step in graph.steps[:-1] if has_backbone or not step.in_backbone]
    for row in reversed(neck):
        if len(last) < len(graph.rows[-1].inputs):
            last.setdefault(sizes[row], row)
    return sorted(last.values(), key=lambda row: -sizes[row][0])


def forgotten(graph: Graph, sizes: MapSizes) -> Iterator[Slip]:
    """Levels of the head whose last row no other row reads.

    The head still reads an earlier row of the same size there.
    """
    head = graph.rows[-1]
    dead = (
        [row.index for row in unread_rows(graph) if row.index < len(sizes)]
        if len(sizes) >= head.index
        else []
    )
    for index in dead:
        same = [
            place
            for place, source in enumerate(head.inputs)
            if sizes[source] == sizes[index] and source < index
        ]
        module = graph.rows[index].module
        if len(same) == 1 and module != "nn.Upsample" and not is_join(module):
            yield Slip(head, same[0], head.inputs[same[0]], index)


def doubled(graph: Graph) -> Iterator[Slip]:
    """Rows that read one row twice."""
    for reader in graph.rows:
        for position, source in enumerate(reader.inputs):
            if source in reader.inputs[:position]:
                yield Slip(reader, position, source, -1)


def dead_branches(graph: Graph) -> list[int]:
    """Rows that some row reads, but from which no path leads to the head.

    Their parameters get no gradient.
    """
    # Rows only read rows above them, so one pass from the head upwards reaches all.
    reached = {len(graph.rows) - 1}
    for row in reversed(graph.rows):
        if row.index in reached:
            reached.update(row.inputs)
    unread = {row.index for row in unread_rows(graph)}
    return [row.index for row in graph.rows if row.index not in reached | unread]


def is_aside(graph: Graph, index: int, attention: Container[str]) -> bool:
    """Whether a row is attention that acts on the path into the head only.

    Other rows then rightly read the map before it.
    """
    readers = readers_of(graph, index)
    head = len(graph.rows) - 1
    return (
        graph.rows[index].module in attention
        and bool(readers)
        and all(row.index == head or is_aside(graph, row.index, attention) for row in readers)
    )
