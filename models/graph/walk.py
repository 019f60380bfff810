"""Run a graph's rows one after another: for a prediction, and once without data.

DetectionModel in models/yolo.py predicts with walk(). measure_strides() finds the strides of a new
network, and the mistakes that only the sizes of maps reveal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from models.graph.build import blame
from models.graph.info import row_info
from models.graph.shape_mode import ShapeMode
from models.graph.structure import Graph, MapSize, Row
from utils.errors import UserError

PROBE = 256  # side of the image whose maps give the strides, pixels
MOST_VALUES = 2**28  # of one map of the probe
Maps: TypeAlias = Tensor | list[Tensor]  # what a row reads
Call = Callable[[nn.Module, Maps], Any]


def run_row(row: nn.Module, maps: Maps) -> Any:
    """Call the row, the default of `call` in walk()."""
    return row(maps)


def walk(rows: Iterable[nn.Module], saved: Sequence[int], x: Tensor, call: Call = run_row) -> Any:
    """Run rows one after another.

    Args:
        rows: modules with a RowInfo, in their order.
        saved: numbers of the rows whose output is read by a row other than the next one.
        x: images [B, C, H, W].
        call: called with a row and its input instead of the row itself, to check, time or record
            it.

    Returns:
        The output of the last row.
    """
    kept: dict[int, Tensor] = {}
    for row in rows:
        index, source = row_info(row).index, row_info(row).source
        # -1 is the map that x already holds. Other negative numbers count back from this row, and
        # the remainder turns them into row numbers.
        if isinstance(source, list):
            x = call(row, [x if one == -1 else kept[one % index] for one in source])
        else:
            x = call(row, x if source == -1 else kept[source % index])
        if index in saved:
            kept[index] = x
    return x


def saved_rows(rows: Iterable[nn.Module]) -> list[int]:
    """Rows whose output is read by number rather than as -1, sorted, once for each reader."""
    saved = []
    for info in map(row_info, rows):
        sources = info.source if isinstance(info.source, list) else [info.source]
        saved += [source % info.index for source in sources if source != -1]
    return sorted(saved)


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a trial run on an image of PROBE px.

    Attributes:
        strides: pixels per cell of each level of the head.
        sizes: (height, width) of each row's map, without the head's.
    """

    strides: list[float]
    sizes: list[MapSize]


def measure_strides(
    network: nn.Sequential, graph: Graph, sizes: list[MapSize] | None = None
) -> Measured:
    """Send an image of PROBE px through all rows, on the meta device, where nothing is computed.

    Args:
        network: the rows as parse_model builds them, on the meta device.
        graph: the graph that they were built from.
        sizes: a list to which the size of each row's map is appended, so that the caller has the
            sizes of all rows that ran even if a later one fails.

    Returns:
        The strides of the head and the sizes of all maps.

    Raises:
        UserError: A row's maps do not fit; the error names the first such row.
    """
    sizes = [] if sizes is None else sizes
    head = network[-1]

    def call(row: nn.Module, maps: Maps) -> Any:
        info = row_info(row)
        with blame(graph, graph.rows[info.index]):
            if row is head:
                return row(maps)
            if isinstance(maps, list) and not getattr(row, "joins_sizes", False):
                _check_same_size(graph.rows[info.index], maps)
            out = row(maps)
            _check_map(out, info.width)
            sizes.append((out.shape[2], out.shape[3]))
        return out

    network.eval()
    head.training = True  # so that it gives raw maps; the modules in it stay in eval mode
    image = torch.empty(1, graph.channels, PROBE, PROBE, device="meta")
    with torch.no_grad(), ShapeMode():
        raw = walk(network, saved_rows(network), image, call)
    return Measured(_strides(graph, [level.shape[2:4] for level in raw]), sizes)


def _strides(graph: Graph, shapes: Sequence[Sequence[int]]) -> list[float]:
    """The head's strides. Raises UserError unless they are whole and equal along both sides."""
    last = graph.rows[-1]
    for source, (height, width) in zip(last.inputs, shapes, strict=True):
        if height != width or PROBE % height:
            found = f"{height}x{width} cells for {PROBE} px is no whole stride; fix the padding"
            raise graph.error(last.index, f"from {source}", found)
    return [PROBE / height for height, _ in shapes]


def _check_same_size(row: Row, maps: list[Tensor]) -> None:
    sizes = [tuple(x.shape[2:]) for x in maps]
    if len(set(sizes)) > 1:
        found = ", ".join(
            f"row {source} {height}x{width}"
            for source, (height, width) in zip(row.inputs, sizes, strict=True)
        )
        raise UserError(
            f"from {row.source}: maps differ in size ({found} for {PROBE} px); read rows of one"
            " size"
        )


def _check_map(x: Tensor, width: int) -> None:
    if x.dim() != 4 or not 0 < x.numel() <= MOST_VALUES:
        raise UserError(
            f"gives {list(x.shape)} for an image of {PROBE} px, which no row can use; check its"
            " arguments"
        )
    if x.shape[1] != width:
        raise UserError(
            f"gives {x.shape[1]} channels where the graph counts {width}; check its arguments"
        )
