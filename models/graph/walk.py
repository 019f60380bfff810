"""Running a graph's rows one after another: for a prediction, and for a first trial without data.

models/yolo.py's DetectionModel runs on walk(); measure() finds its strides, and the mistakes that
only sizes show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.graph import layers
from models.graph.read import Graph, Row
from models.graph.shape_mode import ShapeMode
from utils.errors import UserError

PROBE = 256  # side of the image whose maps give the strides, pixels
MOST_VALUES = 2**28  # of one map of the probe
Call = Callable[[Any, Any], Any]


def walk(
    rows: Iterable[Any], saved: Sequence[int], x: Tensor, call: Call = lambda row, maps: row(maps)
) -> Any:
    """Run the rows on x [B, C, H, W] and return what the last gives; call(row, its input) may check
    or time it.
    """
    kept: dict[int, Tensor] = {}
    for row in rows:
        if isinstance(row.f, list):
            x = call(row, [x if f == -1 else kept[f % row.i] for f in row.f])
        else:
            x = call(row, x if row.f == -1 else kept[row.f % row.i])
        if row.i in saved:
            kept[row.i] = x
    return x


def saved_rows(rows: Iterable[Any]) -> list[int]:
    """Rows whose output is read by name rather than as -1, sorted, once for each reader."""
    sources = [(row.i, f) for row in rows for f in (row.f if isinstance(row.f, list) else [row.f])]
    return sorted(f % i for i, f in sources if f != -1)


@dataclass(frozen=True, slots=True)
class Measured:
    """strides: pixels per cell of each level of the head. sizes: (height, width) of each row's map
    but the head's.
    """

    strides: list[float]
    sizes: list[tuple[int, int]]


def measure(
    network: nn.Sequential, graph: Graph, sizes: list[tuple[int, int]] | None = None
) -> Measured:
    """Send a image of PROBE px without data (meta device) through all rows.

    sizes: a list that is given those of the rows that ran, whatever happens then. Raises UserError
    for the first row whose maps do not fit, before anything is allocated.
    """
    sizes = [] if sizes is None else sizes
    head = network[-1]

    def call(row: Any, maps: Any) -> Any:
        with layers.blame(graph, graph.rows[row.i]):
            if row is head:
                return row(maps)
            if isinstance(maps, list):
                _check_same_size(graph.rows[row.i], maps)
            out = row(maps)
            _check_map(out, row.width)
            sizes.append((out.shape[2], out.shape[3]))
        return out

    network.eval()
    head.training = True  # raw maps only; what is in it stays in eval mode
    with torch.no_grad(), ShapeMode():
        raw = walk(
            network,
            saved_rows(network),
            torch.empty(1, graph.channels, PROBE, PROBE, device="meta"),
            call,
        )
    last = graph.rows[-1]
    for source, (height, width) in zip(
        last.inputs, [level.shape[2:4] for level in raw], strict=True
    ):
        if height != width or PROBE % height:
            whole = f"{height}x{width} cells for {PROBE} px is no whole stride; mend the padding"
            raise graph.error(last.index, f"from {source}", whole)
    return Measured([PROBE / level.shape[2] for level in raw], sizes)


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
            f"gives {list(x.shape)} for a image of {PROBE} px, which no row can use; check its"
            " arguments"
        )
    if x.shape[1] != width:
        raise UserError(
            f"gives {x.shape[1]} channels where the graph counts {width}; check its arguments"
        )
