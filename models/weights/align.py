"""Align two graphs: find which row of one corresponds to which row of the other.

Rows correspond by role, kind and shapes, not by number. models/weights/transfer.py copies weights
along the pairs that are found here. Both graphs are built without data (meta device), so the sizes
of maps and the shapes of tensors are the real ones, not those that a file's name or a comment
claims.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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

# Points for a pair of rows: for each tensor of equal shape, for an equal class, and for equal
# arguments. The last two are so small that they only decide between pairs of equally many tensors.
TENSOR, SAME_KIND, SAME_ARGUMENTS = 10_000, 2, 1
# Share of the source's tensors that a change of scale must gain to be worth it.
RESCALING_SHARE = 0.75
ALIKE = frozenset({SPP, SPPF})  # unrelated classes that compute the same from the same weights
Shape = tuple[int, ...]
Chain = tuple[int, int, "Chain"] | None  # row of the source, row of the target, the pairs before
# Scale -> points and pairs of the best solution whose last pair has this scale. The scale is the
# size of the target's map over the size of the source's.
Solutions = dict[float, tuple[float, Chain]]


@dataclass(frozen=True, slots=True)
class RowPlace:
    """A row and its role in the graph.

    Attributes:
        index: number of the row.
        key: its part of the state-dict keys.
        kind: class of its module.
        arguments: as the row has them.
        turns: how often the maps from the image to here have changed between shrinking and growing:
            0 in the backbone, 1 on the way up in the neck, 2 on the way down again.
        step: height of its map over the height of its input.
        size: height of its map for an image of PROBE px.
        inputs: heights of the maps that it reads.
        shapes: of its tensors, by the part of their keys after the row's.
    """

    index: int
    key: str
    kind: type[nn.Module]
    arguments: object
    turns: int
    step: float
    size: int
    inputs: tuple[int, ...]
    shapes: dict[str, Shape]

    @property
    def is_head(self) -> bool:
        return issubclass(self.kind, HEADS)


def find_places(graph: Graph) -> list[RowPlace]:
    """The rows of a graph with their roles. Raises UserError if the graph cannot run."""
    with torch.device("meta"):
        network, _ = parse_model(graph, seed=0)
    sizes = [height for height, _ in measure_strides(network, graph).sizes]
    places: list[RowPlace] = []
    trends = [(0, False)]  # turns so far and whether maps grow, of the image and of each row
    for row, layer in zip(graph.rows, network, strict=True):
        inputs = tuple(sizes[source] if source >= 0 else PROBE for source in row.inputs)
        # The head gives no map, so it takes the size of its first input.
        size = sizes[row.index] if row.index < len(sizes) else inputs[0]
        turns, grew = max(trends[source + 1] for source in row.inputs)
        if size != inputs[0] and (size > inputs[0]) != grew:
            turns, grew = turns + 1, not grew
        trends.append((turns, grew))
        place = RowPlace(
            index=row.index,
            key=row.key,
            kind=row_info(layer).kind,
            arguments=row.arguments,
            turns=turns,
            step=size / inputs[0],
            size=size,
            inputs=inputs,
            shapes={name: tuple(value.shape) for name, value in layer.state_dict().items()},
        )
        places.append(place)
    return places


def align_graphs(
    source_graph: Mapping[str, object], target_graph: Mapping[str, object]
) -> dict[str, str]:
    """The row of the source for each row of the target that has a counterpart.

    Rows are named by their parts of the state-dict keys. Graphs are dictionaries as load_graph
    returns them. Raises UserError if one cannot run.
    """
    source, target = (find_places(read_graph(graph)) for graph in (source_graph, target_graph))
    return {mine.key: theirs.key for mine, theirs in align_places(source, target)}


def align_places(
    source: Sequence[RowPlace], target: Sequence[RowPlace]
) -> list[tuple[RowPlace, RowPlace]]:
    """Pair the rows of two graphs so that as many tensors as possible find one of their shape.

    Pairs keep the order of both graphs. This is the alignment of sequences of Needleman and Wunsch
    (1970), extended by the scales of the pairs. Heads are paired with heads of their kind.

    Args:
        source: rows of the checkpoint's graph.
        target: rows of the model's graph.

    Returns:
        (target, source) pairs.
    """
    # best[j] is the best alignment of the source's rows so far with the target's first j rows. One
    # more row of the source gives the next line of the table from the present one:
    #
    #     best[j]           best[j + 1]
    #            \               |
    #         pair them    skip the source's row
    #              \             |
    #     line[j] -------- line[j + 1]
    #       skip the target's row
    #
    # An example in which SimAM was inserted into the target's four rows. Points count tensors.
    #
    #     source \ target    Conv   SimAM   C3   Conv
    #     Conv   (6)          6       6      6     6
    #     C3    (30)          6       6     36    36
    #     Conv   (6)          6       6     36    42   <- Conv, C3 and Conv are paired, SimAM is new
    #
    # Each cell of the table keeps one solution for each scale. All pairs of the example have scale
    # 1. If the source has a stride that the target lacks, all later maps of the target are twice
    # as large: the scale becomes 2 and stays 2. Without a cost for such a change, a row would take
    # the weights of a row of equal width at another stride whenever its own has other shapes.
    rows = [place for place in source if not place.is_head]
    columns = [place for place in target if not place.is_head]
    cost = RESCALING_SHARE * TENSOR * sum(len(place.shapes) for place in rows)
    best: list[Solutions] = [{} for _ in range(len(columns) + 1)]
    for i, theirs in enumerate(rows):
        line: list[Solutions] = [{}]
        for j, mine in enumerate(columns):
            cell = dict(best[j + 1])
            for scale, found in line[j].items():
                _keep_better(cell, scale, found)
            points = affinity(theirs, mine)
            if points:
                scale = mine.size / theirs.size
                before, chain = _best_before(best[j], scale, cost)
                _keep_better(cell, scale, (before + points, (i, j, chain)))
            line.append(cell)
        best = line
    pairs = [(columns[j], rows[i]) for i, j in _pairs_of(best[-1])]
    heads = [(mine, theirs) for mine in target for theirs in source if _both_heads(mine, theirs)]
    return pairs + heads


def _keep_better(cell: Solutions, scale: float, found: tuple[float, Chain]) -> None:
    """Keep a solution in the cell unless there is one of its scale with as many points.

    On equal points the older solution stays. So the first of several equal rows in the target gets
    the weights: it reads the same map as the row of the source.
    """
    if scale not in cell or found[0] > cell[scale][0]:
        cell[scale] = found


def _best_before(cell: Solutions, scale: float, cost: float) -> tuple[float, Chain]:
    """The best solution that a pair of some scale can follow.

    Args:
        cell: the solutions so far.
        scale: of the pair.
        cost: points that a change of scale costs; the scale before the first pair is 1.

    Returns:
        The points, less the cost if the scale changes, and the pairs.
    """
    best: tuple[float, Chain] = (0 if scale == 1 else -cost, None)
    for other, (points, chain) in cell.items():
        points -= cost * (other != scale)
        if points > best[0]:
            best = (points, chain)
    return best


def _pairs_of(cell: Solutions) -> list[tuple[int, int]]:
    """The pairs (row of the source, row of the target) of the cell's best solution."""
    _, chain = max([(0, None), *cell.values()], key=lambda solution: solution[0])
    pairs = []
    while chain is not None:
        i, j, chain = chain
        pairs.append((i, j))
    return pairs[::-1]


def _both_heads(one: RowPlace, other: RowPlace) -> bool:
    return one.is_head and one.kind is other.kind


def affinity(source: RowPlace, target: RowPlace) -> int:
    """Points for pairing two rows, 0 if they must not be paired.

    Rows need the same role, related kinds (C3TR is a C3), and tensors of equal name and shape. If
    the source has a kernel, at least one of these must be a kernel: norms and counters of equal
    shape occur in nearly every row.
    """
    same_role = (source.turns, source.step) == (target.turns, target.step)
    if not same_role or not related(source.kind, target.kind):
        return 0
    common = [shape for name, shape in source.shapes.items() if target.shapes.get(name) == shape]
    has_kernel = any(len(shape) > 1 for shape in common)
    is_empty = not source.shapes and not target.shapes and source.kind is target.kind
    needs_kernel = any(len(shape) > 1 for shape in source.shapes.values())
    if not is_empty and not (has_kernel if needs_kernel else common):
        return 0
    same_kind = SAME_KIND * (source.kind is target.kind)
    same_arguments = SAME_ARGUMENTS * (source.arguments == target.arguments)
    return TENSOR * len(common) + same_kind + same_arguments + 1


def related(one: type[nn.Module], other: type[nn.Module]) -> bool:
    """Whether two classes share a base class besides nn.Module, or are listed as alike."""
    shared = set(one.__mro__) & set(other.__mro__) - {nn.Module, object}
    return bool(shared) or {one, other} <= ALIKE
