"""What the last row of a graph, its head, is built with.

The row itself only repeats what stands at the top of the file.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from models.graph.structure import Graph, Row
from models.heads.anchor_based import Detect
from utils.errors import UserError


def head_arguments(
    graph: Graph, row: Row, kind: type[nn.Module], given: list[object], incoming: Sequence[int]
) -> list[object]:
    """Arguments of the constructor of a graph's head.

    Args:
        graph: the graph, whose family says whether the head has anchors.
        row: its last row.
        kind: class of the head.
        given: arguments of the row.
        incoming: channels of each map that it reads.

    Returns:
        The arguments by position.

    Raises:
        UserError: The row says something else than the top of the file.
    """
    if graph.family.has_anchors:
        return _anchor_arguments(graph, row, given, incoming)
    if issubclass(kind, Detect):
        raise UserError("is a head with anchors; add `anchors`, or write Detect for one without")
    return _anchor_free_arguments(graph, given, incoming)


def _anchor_free_arguments(
    graph: Graph, given: list[object], incoming: Sequence[int]
) -> list[object]:
    """Arguments of a head without anchors. The row may only repeat the number of classes.

    A C3k2 row anywhere makes the class branch depth-wise, by YOLOv8's rule, unless the graph says
    otherwise.
    """
    if given != [graph.class_count]:
        raise UserError(
            "a head without anchors takes its classes from the top of the file; write [nc]"
        )
    is_depthwise = any(other.module == "C3k2" for other in graph.rows)
    if graph.class_branch:
        is_depthwise = graph.class_branch == "depthwise"
    bins = (graph.reg_max, list(incoming), is_depthwise, graph.box_bias)
    return [graph.class_count, *bins, graph.class_width]


def _anchor_arguments(
    graph: Graph, row: Row, given: list[object], incoming: Sequence[int]
) -> list[object]:
    """Arguments of a head with anchors. The row may only repeat classes and anchors."""
    if len(given) != 2 or given[0] != graph.class_count or given[1] != "anchors":
        raise UserError(
            "the head takes its classes and anchors from the top of the file; write [nc, anchors], "
            "or take out `anchors` for a head that has none"
        )
    if not isinstance(graph.anchors, int) and len(graph.anchors) != len(incoming):
        raise UserError(
            f"from {row.source}: reads {len(incoming)} maps, but anchors has {len(graph.anchors)}"
            " levels; match them"
        )
    return [graph.class_count, graph.anchors_per_level, list(incoming)]
