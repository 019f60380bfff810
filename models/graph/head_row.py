"""The head's row: which class it is, and the arguments that it gets from the whole graph.

models/graph/build.py builds it with them, as every other row.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from models.graph.entries import Layer
from models.graph.structure import Graph, Row
from models.heads import HEAD_OF_FAMILY, V8_FORMS
from utils.errors import UserError


def head_arguments(
    graph: Graph, row: Row, given: list[object], incoming: Sequence[int]
) -> list[object]:
    """The arguments of the head.

    Args:
        graph: the graph.
        row: its last row.
        given: the arguments that the row gives.
        incoming: channels of each map that it reads.

    Returns:
        The arguments of its class.

    Raises:
        UserError: The row gives other classes or anchors than the top of the file.
    """
    if graph.family.has_anchors:
        return _anchor_arguments(graph, row, given, incoming)
    return _anchor_free_arguments(graph, given, incoming)


def head_class(graph: Graph, row: Row, layer: Layer) -> type[nn.Module]:
    """The class of a head row. Raises UserError for a head of the other family."""
    if row.module == "Detect":
        return HEAD_OF_FAMILY[graph.family.name]
    kind = layer.kind if graph.family.has_anchors else V8_FORMS.get(layer.kind, layer.kind)
    if getattr(kind, "family", graph.family) is not graph.family:
        other = "has anchors" if graph.family.has_anchors else "has none"
        raise UserError(f"this head is not for a graph that {other}; write Detect")
    return kind


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
