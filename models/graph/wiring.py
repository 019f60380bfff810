"""References that point beside what they mean: half-done stages, numbers that were not moved,
attention passed by.

Each function looks at a graph and the sizes of its maps and yields Slips; models/lint/rules.py puts
them into words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from models.attention import ATTENTION
from models.graph.structure import Graph, Row, unread_rows

Sizes = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Slip:
    """A row reads one row at this position of its `from`, another was probably meant; -1 where
    there is no telling.
    """

    reader: Row
    position: int
    read: int
    meant: int


def stage_end(graph: Graph, start: int, sizes: Sizes, reader: Row | None = None) -> int:
    """The last of the rows from start on that each read the row before, at one size.

    reader: whose reference it is; a stage ends before it, and before attention that only the head
    reads unless the reader is the head. A Concat that joins something to the row before goes on
    with its stage.
    """
    head = graph.rows[-1]
    last = (reader or head).index
    end = start
    while end >= 0 and end + 1 < min(last, len(sizes)) and sizes[end + 1] == sizes[start]:
        row = graph.rows[end + 1]
        continues = end in row.inputs and (len(row.inputs) == 1 or row.module == "Concat")
        if not continues or (reader not in (None, head) and is_aside(graph, row.index, ATTENTION)):
            break
        end += 1
    return end


def early(graph: Graph, sizes: Sizes) -> Iterator[Slip]:
    """Maps that Concat or the head reads before their stage is done.

    In YOLO's graphs every such reference names the last row of a stage, and the row before it has
    the same size: one row inserted without moving the numbers behind it therefore runs, and reads
    half-done maps.
    """
    unfit = {
        (slip.reader.index, slip.position) for slip in unlike(graph, sizes)
    }  # another story, and the whole one
    for reader in graph.rows[: len(sizes) + 1]:
        for position, source in enumerate(reader.inputs if isinstance(reader.source, list) else ()):
            end = stage_end(graph, source, sizes, reader)
            if end != source and end not in reader.inputs and (reader.index, position) not in unfit:
                yield Slip(reader, position, source, end)


def passed_by(graph: Graph, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """A warning for each map that Concat or the head reads before its stage is done.

    sizes: (height, width) of each row's map.
    """
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
    """Rows that read what attention above them reads too, and not the attention: it acts on a part
    of the paths only.

    Attention that nothing but the head reads is meant so, as are several attentions side by side.
    """
    for row in graph.rows:
        if row.module not in ATTENTION:
            continue
        (source,) = set(row.inputs) if len(row.inputs) == 1 else (-1,)
        for reader in readers_of(graph, source) if source >= 0 else ():
            beside = reader.module in ATTENTION or row.index in reader.inputs
            aside = reader is not graph.rows[-1] and is_aside(graph, row.index, ATTENTION)
            if reader.index > row.index and not beside and not aside:
                yield Slip(reader, reader.inputs.index(source), source, row.index)


def unlike(graph: Graph, sizes: Sizes) -> Iterator[Slip]:
    """Maps of the wrong size at the Concat where a graph stopped running."""
    if not 0 < len(sizes) < len(graph.rows) - 1 or graph.rows[len(sizes)].module != "Concat":
        return
    reader = graph.rows[len(sizes)]
    before = reader.index - 1
    found = [sizes[source] for source in reader.inputs]
    wanted = sizes[before] if before in reader.inputs else Counter(found).most_common(1)[0][0]
    for position, (source, size) in enumerate(zip(reader.inputs, found, strict=True)):
        if size != wanted:
            yield Slip(reader, position, source, _nearest(graph, sizes, reader, source, wanted))


def _nearest(graph: Graph, sizes: Sizes, reader: Row, source: int, wanted: tuple[int, int]) -> int:
    """The end of a stage of this size that the number would have named without the inserted rows,
    else a near one.
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
    near = [row for row in ends if abs(row - source) <= 2 * inserted + 2]
    return min(near, key=lambda row: (abs(row - source), row < source), default=-1)


def moved(graph: Graph, number: int, sizes: Sizes, reader: Row) -> int:
    """The row that a number names when attention rows are not counted, as in the graph before they
    came; then the end of its stage. -1 if there is none above the reader.
    """
    rows = [
        row.index
        for row in graph.rows
        if row.key == str(number) and row.index < min(reader.index, len(sizes))
    ]
    return stage_end(graph, rows[0], sizes, reader) if rows else -1


def levels(graph: Graph, sizes: Sizes) -> Iterator[Slip]:
    """Levels of the head that are not each coarser than the one before, or each finer, or not as
    their anchors are.
    """
    head = graph.rows[-1]
    if len(sizes) < head.index or in_order(graph, sizes, head.inputs):
        return
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


def in_order(graph: Graph, sizes: Sizes, rows: Sequence[int]) -> bool:
    """Whether these rows would do as the levels of the head: sizes fall, or rise, strictly, and
    anchors with them.
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


def _last_of_each_size(graph: Graph, sizes: Sizes) -> list[int]:
    """The last row of each of the head's number of sizes, from the back of the graph, fine before
    coarse.
    """
    last: dict[tuple[int, int], int] = {}
    for row in reversed(range(len(graph.rows) - 1)):
        if len(last) < len(graph.rows[-1].inputs):
            last.setdefault(sizes[row], row)
    return sorted(last.values(), key=lambda row: -sizes[row][0])


def forgotten(graph: Graph, sizes: Sizes) -> Iterator[Slip]:
    """Levels of the head whose last row nobody reads, because the head still reads an earlier one
    of the same size.
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
        if len(same) == 1 and graph.rows[index].module not in ("Concat", "nn.Upsample"):
            yield Slip(head, same[0], head.inputs[same[0]], index)


def doubled(graph: Graph) -> Iterator[Slip]:
    """Rows that read one row twice."""
    for reader in graph.rows:
        for position, source in enumerate(reader.inputs):
            if source in reader.inputs[:position]:
                yield Slip(reader, position, source, -1)


def dead_branches(graph: Graph) -> list[int]:
    """Rows that somebody reads, but from which no way leads to the head: their parameters get no
    gradient.
    """
    reached = {len(graph.rows) - 1}
    for row in reversed(graph.rows):
        if row.index in reached:
            reached.update(row.inputs)
    unread = {row.index for row in unread_rows(graph)}
    return [row.index for row in graph.rows if row.index not in reached | unread]


def is_aside(graph: Graph, index: int, attention: Mapping[str, Any]) -> bool:
    """True for attention that works on the way into the head only, where others rightly read the
    map before it.
    """
    readers = readers_of(graph, index)
    head = len(graph.rows) - 1
    return (
        graph.rows[index].module in attention
        and bool(readers)
        and all(row.index == head or is_aside(graph, row.index, attention) for row in readers)
    )


def readers_of(graph: Graph, index: int) -> list[Row]:
    """The rows that read this one."""
    return [row for row in graph.rows if index in row.inputs]
