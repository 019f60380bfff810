"""Which row of one graph is which row of another: by role, kind and shapes, whatever their numbers.

models/weights/transfer.py copies weights along the pairs found here. Both graphs are built without
data (meta device), so that the sizes of maps and the shapes of tensors are what they are and not
what a file's name or a comment says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from models.blocks.rare import SPP
from models.common import SPPF
from models.graph.info import row_info
from models.graph.read import read_graph
from models.graph.structure import Graph
from models.graph.walk import PROBE, measure_strides
from models.heads import HEADS
from models.yolo import parse_model

TENSOR, SAME_KIND, SAME_ARGUMENTS = (
    10_000,
    2,
    1,
)  # what speaks for a pair; the last two only decide between equals
# of the source's tensors: what must be gained by going on at other sizes, as behind a removed
# stride
RESIZED = 0.75
ALIKE = frozenset({SPP, SPPF})  # different classes of one meaning and equal weights
Shape = tuple[int, ...]
Chain = tuple[int, int, Any] | None  # row of the source, row of the target, the pairs before
Cell = dict[
    float, tuple[float, Chain]
]  # sizes of the target over those of the source -> points, pairs


@dataclass(frozen=True, slots=True)
class Place:
    """A row and its role.

    key: its part of the state-dict keys. turns: how often maps on the way from the image have
    changed between shrinking and growing: 0 in the backbone, 1 on the way up, 2 on the way down
    again. step: rows of its map over those of its input's. size: rows of its map for a image of
    PROBE px. inputs: the same of what it reads. shapes: of its tensors, by the rest of their keys.
    """

    index: int
    key: str
    kind: type[nn.Module]
    arguments: Any
    turns: int
    step: float
    size: int
    inputs: tuple[int, ...]
    shapes: dict[str, Shape]

    @property
    def is_head(self) -> bool:
        return self.kind in HEADS


def find_places(graph: Graph) -> list[Place]:
    """The rows of a graph with their roles. Raises UserError for one that cannot run."""
    with torch.device("meta"):
        network, _ = parse_model(graph, seed=0)
    sizes = [height for height, _ in measure_strides(network, graph).sizes]
    places: list[Place] = []
    trends = [
        (0, False)
    ]  # of the image, then of each row: turns so far, whether the map has just grown
    for row, layer in zip(graph.rows, network, strict=True):
        inputs = tuple(sizes[source] if source >= 0 else PROBE for source in row.inputs)
        size = sizes[row.index] if row.index < len(sizes) else inputs[0]
        turns, grew = max(trends[source + 1] for source in row.inputs)
        if size != inputs[0] and (size > inputs[0]) != grew:
            turns, grew = turns + 1, not grew
        trends.append((turns, grew))
        shapes = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
        place = (
            row.index,
            row.key,
            row_info(layer).kind,
            row.arguments,
            turns,
            size / inputs[0],
            size,
            inputs,
            shapes,
        )
        places.append(Place(*place))
    return places


def align(source_graph: Mapping[str, Any], target_graph: Mapping[str, Any]) -> dict[str, str]:
    """Row of the target -> row of the source, as parts of state-dict keys, for all rows that
    correspond.

    Graphs are dictionaries as load_graph gives them. Raises UserError for one that cannot run.
    """
    source, target = (find_places(read_graph(graph)) for graph in (source_graph, target_graph))
    return {mine.key: theirs.key for mine, theirs in align_places(source, target)}


def align_places(source: Sequence[Place], target: Sequence[Place]) -> list[tuple[Place, Place]]:
    """(target, source) pairs of rows: the order-keeping choice by which most tensors find one of
    their shape.

    Among equals it is the first of several rows, which reads what the row read before, that gets
    the weights. Heads pair with heads. A dynamic programme over rows x rows x changes of size
    (Needleman and Wunsch, 1970).
    """
    rows, columns = (
        [place for place in places if not place.is_head] for places in (source, target)
    )
    cost = RESIZED * TENSOR * sum(len(place.shapes) for place in rows)
    done: list[Cell] = [{} for _ in range(len(columns) + 1)]
    for i, theirs in enumerate(rows):
        current: list[Cell] = [{}]
        for j, mine in enumerate(columns):
            cell = dict(done[j + 1])
            for scale, found in current[j].items():
                _keep_better(cell, scale, found)
            points = affinity(theirs, mine)
            if points:
                scale = mine.size / theirs.size
                before, chain = _best_before(done[j], scale, cost)
                _keep_better(cell, scale, (before + points, (i, j, chain)))
            current.append(cell)
        done = current
    _, chain = max([(0, None), *done[-1].values()], key=lambda found: found[0])
    pairs = []
    while chain is not None:
        i, j, chain = chain
        pairs.append((columns[j], rows[i]))
    return pairs[::-1] + [
        (mine, theirs) for mine in target for theirs in source if _both_heads(mine, theirs)
    ]


def _keep_better(cell: Cell, scale: float, found: tuple[float, Chain]) -> None:
    if scale not in cell or found[0] > cell[scale][0]:
        cell[scale] = found


def _best_before(cell: Cell, scale: float, cost: float) -> tuple[float, Chain]:
    """The best pairs that one of this scale may follow, less the cost of another scale; the first
    is to be 1.
    """
    best: tuple[float, Chain] = (0 if scale == 1 else -cost, None)
    for other, (points, chain) in cell.items():
        points -= cost * (other != scale)
        if points > best[0]:
            best = (points, chain)
    return best


def _both_heads(one: Place, other: Place) -> bool:
    return one.is_head and one.kind is other.kind


def affinity(source: Place, target: Place) -> int:
    """What speaks for two rows being the same one; 0 if they must not be paired.

    They need the same role and related kinds (C3TR is a C3), and tensors of equal name and shape, a
    kernel among them if there are any: norms and counters alone look alike everywhere.
    """
    if (source.turns, source.step) != (target.turns, target.step) or not related(
        source.kind, target.kind
    ):
        return 0
    common = [shape for name, shape in source.shapes.items() if target.shapes.get(name) == shape]
    has_kernel = any(len(shape) > 1 for shape in common)
    is_empty = not source.shapes and not target.shapes and source.kind is target.kind
    needs_kernel = any(len(shape) > 1 for shape in source.shapes.values())
    if not is_empty and not (has_kernel if needs_kernel else common):
        return 0
    like = SAME_KIND * (source.kind is target.kind) + SAME_ARGUMENTS * (
        source.arguments == target.arguments
    )
    return TENSOR * len(common) + like + 1


def related(one: type[nn.Module], other: type[nn.Module]) -> bool:
    """Whether two classes share one that says more than that they are modules."""
    shared = set(one.__mro__) & set(other.__mro__) - {nn.Module, object}
    return bool(shared) or {one, other} <= ALIKE
