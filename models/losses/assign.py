"""Target assignment by anchor ratio: which cells and anchors have to predict which labelled box.

It takes the batch's targets in pixels and a head's anchors, and gives models/losses/v5.py one flat
list of matches over all levels. Lengths in cells exist only here and in the loss: pixels are
converted here. The rule is YOLOv5's: on every level a box belongs to each anchor whose sides differ
from its own by a factor below `ratio`. For such an anchor it belongs to the cell that holds its
centre, and to the nearer one of that cell's horizontal and of its vertical neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.losses.constants import constant

# Own cell, then left, up, right, down: the (x, y) that is subtracted from a centre, in cells,
# before it is truncated to whole numbers.
SHIFTS = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (-0.5, 0.0), (0.0, -0.5))


@dataclass(frozen=True, slots=True)
class Matches:
    """N (target, anchor, cell) triples, sorted by level, then shift, then anchor, then target.

    Attributes:
        level, image, anchor, row, column: [N] int64.
        label: [N] int64, the target's class.
        box: [N, 4] float32, the target's centre relative to the cell's corner and its size, cells.
        anchor_size: [N, 2] float32, cells.
    """

    level: Tensor
    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    label: Tensor
    box: Tensor
    anchor_size: Tensor


def assign(
    targets: Tensor,
    anchors: Tensor,
    grids: list[tuple[int, int]],
    image_size: tuple[int, int],
    ratio: float,
) -> Matches:
    """Match a batch's targets with the anchors and cells of all levels.

    Args:
        targets: [T, 6] float32 image_index, class, x1, y1, x2, y2 in pixels.
        anchors: [L, A, 2] float32 (w, h) in cells of their level.
        grids: (rows, columns) of each level.
        image_size: (height, width) of the input, pixels.
        ratio: A side must be less than this many times the anchor's, and the anchor's less than
            this many times the side.

    Returns:
        All matches, each inside its grid. A target that no anchor fits has none; several targets
        may share a cell, and several cells a target.
    """
    cells = grid_sides(grids, targets)
    centres, sizes = to_cells(targets, cells, image_size)
    return match_in_cells(targets[:, :2].long(), centres, sizes, anchors, cells, ratio)


def match_in_cells(
    labels: Tensor, centres: Tensor, sizes: Tensor, anchors: Tensor, cells: Tensor, ratio: float
) -> Matches:
    """assign() for lengths that are in cells already.

    Args:
        labels: [T, 2] int64 (image, class).
        centres: [L, T, 2] (x, y) of the targets, in cells of each level.
        sizes: [L, T, 2] (width, height) of the targets, in cells of each level.
        anchors: [L, A, 2] (width, height) in cells.
        cells: [L, 2] (columns, rows) of the grids.
        ratio: As in assign().

    Returns:
        All matches, as assign() returns them.
    """
    fits = match_anchors(sizes, anchors, ratio)
    near = choose_neighbours(centres, cells)
    # One search over the whole table gives the matches of all levels, already in their final order.
    level, shift, anchor, target = (near[:, :, None] & fits[:, None]).nonzero(as_tuple=True)
    centre = centres[level, target]
    corner = whole_cells(centre, shift, cells[level])
    return Matches(
        level=level,
        image=labels[target, 0],
        anchor=anchor,
        row=corner[:, 1],
        column=corner[:, 0],
        label=labels[target, 1],
        box=torch.cat((centre - corner, sizes[level, target]), 1),
        anchor_size=anchors[level, anchor],
    )


def grid_sides(grids: list[tuple[int, int]], like: Tensor) -> Tensor:
    """L pairs (rows, columns) -> [L, 2] (columns, rows) as floats, to go with (x, y)."""
    sides = tuple((columns, rows) for rows, columns in grids)
    return constant(sides, torch.float32, like.device)


def to_cells(targets: Tensor, cells: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Convert targets from pixels to cells.

    Args:
        targets: [T, 6] image_index, class, x1, y1, x2, y2 in pixels.
        cells: [L, 2] (columns, rows) of the grids.
        image_size: (height, width) in pixels.

    Returns:
        Centres and sizes, [L, T, 2] each, in cells of every level.
    """
    height, width = image_size
    low, high = targets[:, 2:4], targets[:, 4:6]
    per_pixel = (cells / constant((width, height), cells.dtype, cells.device))[:, None]
    return (low + high) / 2 * per_pixel, (high - low) * per_pixel


def match_anchors(sizes: Tensor, anchors: Tensor, ratio: float) -> Tensor:
    """Whether neither side is `ratio` times the other's or more: bool [L, A, T].

    sizes [L, T, 2] of the targets and anchors [L, A, 2] are in cells.
    """
    quotient = sizes[:, None] / anchors[:, :, None]
    return torch.maximum(quotient, 1 / quotient).amax(3) < ratio


def choose_neighbours(centres: Tensor, cells: Tensor) -> Tensor:
    """Which of the five cells of SHIFTS take each target: bool [L, 5, T].

    A neighbour takes a target if the centre lies in the half of its own cell next to that
    neighbour, and if the neighbour is inside the grid. A centre exactly on the line between two
    cells counts for both sides; the right or lower of them is its own cell, which then matches
    twice. centres: [L, T, 2] in cells. cells: [L, 2] (columns, rows) of the grids.
    """
    from_right = cells[:, None] - centres
    low = ((centres % 1 < 0.5) & (centres > 1)).movedim(2, 1)
    high = ((from_right % 1 < 0.5) & (from_right > 1)).movedim(2, 1)
    return torch.cat((torch.ones_like(low[:, :1]), low, high), 1)


def whole_cells(centre: Tensor, shift: Tensor, cells: Tensor) -> Tensor:
    """The cells of matches: (column, row) [N, 2] int64, inside the grid.

    Args:
        centre: [N, 2] of the targets, in cells.
        shift: [N] indices into SHIFTS.
        cells: [N, 2] (columns, rows) of the grids.
    """
    moved = (centre - constant(SHIFTS, centre.dtype, centre.device)[shift]).long()
    return torch.minimum(moved.clamp_(min=0), cells.long() - 1)
