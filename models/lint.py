"""Graphs that run and are wrong all the same: references that were not moved when a row was inserted.

models/yolo.py puts what is found among a model's warnings; models/graph.py's unread_rows is the other such check.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.graph import Graph


def passed_by(graph: Graph, sizes: Sequence[tuple[int, int]]) -> list[str]:
    """A warning for each map that Concat or the head reads before its stage is done.

    In YOLO's graphs every such reference names the last row of a stage, and the row before it has the same size: one
    row inserted without moving the numbers behind it therefore runs, and reads half-done maps. sizes: (height, width)
    of each row's map.
    """
    found = []
    for reader in graph.rows:
        if isinstance(reader.source, list):
            for source in dict.fromkeys(reader.inputs):
                end = stage_end(graph, source, sizes)
                if end != source:
                    read, meant = (f"row {index}, {graph.rows[index].module}" for index in (source, end))
                    found.append(
                        f"{graph.file}: row {reader.index}: {reader.module} from {reader.source}: reads {read}, whose "
                        f"stage goes on to {meant}, of the same size; {end} was probably meant, as rows inserted "
                        "above move the numbers"
                    )
    return found


def stage_end(graph: Graph, start: int, sizes: Sequence[tuple[int, int]]) -> int:
    """The last of the rows from start on that read each other as -1, and nothing else, at one size."""
    end = start
    while 0 <= end < len(graph.rows) - 2 and graph.rows[end + 1].source == -1 and sizes[end + 1] == sizes[start]:
        end += 1
    return end
