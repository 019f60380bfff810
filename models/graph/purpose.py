"""References before the end of a stage that are right, so that models/graph/wiring.py leaves them.

In YOLO's graphs every skip connection starts at the last row of a stage. Joins other than Concat
and space to depth have reasons of their own to do otherwise.
"""

from __future__ import annotations

from models.attention import ATTENTION
from models.graph.layers import is_join, is_sum, layer_named
from models.graph.structure import Graph, Row, readers_of
from models.graph.values import is_whole

UPSAMPLING = ("nn.Upsample", "torch.nn.Upsample", "CARAFE", "DySample", "Dy_Sample")
SPREAD = ("space_to_depth", "SPD", "ReOrg", "Contract")  # rows that turn patches into channels


def feeds_spread(graph: Graph, index: int) -> bool:
    """Whether a row is a part of the step to the next size, being read by space to depth alone."""
    readers = readers_of(graph, index)
    return bool(readers) and all(row.module in SPREAD for row in readers)


def fitting_end(graph: Graph, reader: Row, source: int, end: int) -> int:
    """The last row of a stage that a join can have meant.

    A sum cannot read a map of other channels. In YOLOv7's necks a stage ends before the convolution
    that prepares the map for upsampling. Joins of several sizes read the levels of the
    backbone, some before the end of their stage, but pass no attention there.

    Args:
        graph: the graph.
        reader: the row that joins maps, or the head.
        source: number of the row that it reads.
        end: the last row of that row's stage.

    Returns:
        The number of a row from source to end.
    """
    stage = range(source + 1, end + 1)
    if is_sum(reader.module):
        width = _width(graph, source)
        return max((row for row in stage if _width(graph, row) == width), default=source)
    if is_join(reader.module) and not is_join(reader.module, of_one_size=True):
        others = (row for row in stage if graph.rows[row].module not in ATTENTION)
        return next(others, end + 1) - 1
    return end - 1 if end > source and _is_lateral(graph, end) else end


def _is_lateral(graph: Graph, index: int) -> bool:
    """Whether a row only prepares a map for upsampling, in a neck such as YOLOv7's.

    There skip connections start before that convolution. In YOLOv5's necks they start behind it;
    the max pool MP tells the two apart.
    """
    readers = readers_of(graph, index)
    only_up = bool(readers) and all(row.module in UPSAMPLING for row in readers)
    return (
        only_up
        and graph.rows[index].module == "Conv"
        and any(row.module == "MP" for row in graph.rows)
    )


def _width(graph: Graph, index: int) -> int | None:
    """Channels of a row's map as far as its text and those above say it, else None."""
    while index >= 0:
        row = graph.rows[index]
        layer = layer_named(row.module, row.arguments)
        if layer and layer.rule == "stack" and isinstance(row.arguments, list):
            count = graph.interpret(row.arguments[0]) if row.arguments else None
            return graph.scaled(count) if is_whole(count) else None
        if len(row.inputs) != 1 and not is_sum(row.module):
            return None
        index = row.inputs[0]
    return None
