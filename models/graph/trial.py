"""Trial runs of one row's block, alone and without data, for facts that LAYERS does not declare.

Names of places depend on the strides of maps, and rows may use such names before the graph can be
built as a whole. So a block that does not declare its factor is run by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from models.graph.attend import build_attention_row
from models.graph.build import BAD_ARGUMENTS, build_row, row_arguments, stack_width
from models.graph.factors import repeated
from models.graph.inside import bottlenecks_of
from models.graph.layers import factor_of, is_join, layer_named
from models.graph.own import own_factor
from models.graph.shape_mode import ShapeMode
from models.graph.structure import Graph, Row
from models.own.registry import own_named
from utils.errors import UserError

# Two images, so that the difference of the maps counts and padding cancels out: a window of 3
# without padding gives 2 cells less of any image. The sides are multiples of 2 to 8, 16 and 32.
SIDES = (3360, 6720)
CHANNELS = 64  # of the input, where the row does not give the output's


def stride_factor(graph: Graph, row: Row, strides: Sequence[float] = (1.0,)) -> float:
    """How many times fewer cells per side a row's output has than its input.

    The row's arguments say it, or else a trial run shows it; nan if neither does. Only classes of a
    person's file need the strides of all maps that the row reads.
    """
    own = own_named(row.module)
    if own and (layer_named(row.module) or len(strides) > 1):
        return own_factor(graph, row, own, strides)
    declared = factor_of(row.module, row.arguments, row.repeats)
    if not math.isnan(declared):
        return declared
    layer, block = layer_named(row.module, row.arguments), build_alone(graph, row)
    if block is None:
        return math.nan
    return repeated(_measured_factor(*block), 1 if layer and layer.repeats else row.repeats)


def has_bottlenecks(graph: Graph, row: Row) -> bool:
    """Whether a row's block has bottlenecks, so that attention can go inside it."""
    layer = layer_named(row.module, row.arguments)
    block = build_alone(graph, row) if layer and layer.rule == "stack" else None
    return block is not None and bool(bottlenecks_of(block[0]))


def build_alone(graph: Graph, row: Row) -> tuple[nn.Module, int] | None:
    """A row's block with one repeat, on the meta device, and the input channels it was built for.

    It reads as many channels as it gives, since its real inputs may not be known yet. Returns None
    for a row that joins maps, for the head, and for a block that cannot be built so.
    """
    layer, single = layer_named(row.module, row.arguments), replace(row, repeats=1, inside=None)
    if layer and (is_join(row.module) or layer.rule == "head"):
        return None
    channels = CHANNELS
    try:
        with torch.device("meta"):
            if layer is None:
                return build_attention_row(graph, single, [channels]).copies[0], channels
            if layer.rule == "stack":
                channels = stack_width(graph, row_arguments(graph, row))
            return build_row(graph, single, layer, [channels]).copies[0], channels
    except (UserError, *BAD_ARGUMENTS):  # building the whole graph reports it, with the real inputs
        return None


@torch.no_grad()
def _measured_factor(block: nn.Module, channels: int) -> float:
    """How many times fewer cells per side a block gives; nan unless both sides agree."""
    maps: list[Tensor] = []
    block.eval()
    try:
        with ShapeMode():
            for side in SIDES:
                maps.append(block(torch.empty(1, channels, side, side, device="meta")))
        height, width = (maps[1].shape[side] - maps[0].shape[side] for side in (2, 3))
    except BAD_ARGUMENTS:
        return math.nan
    return (SIDES[1] - SIDES[0]) / height if height == width and height > 0 else math.nan
