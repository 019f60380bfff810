"""Target assignment by anchor ratio: which cells and anchors have to predict which labelled box.

From: the batch's targets in pixels and a head's anchors. To: models/losses/v5.py, one flat list of
matches over all levels. Lengths in cells exist only here and in the loss: this is the place where
pixels become cells. The rule is YOLOv5's: on every level a box belongs to each anchor whose sides
differ from its own by less than `ratio`, there to the cell that holds its centre, and to the nearer
one of that cell's horizontal and of its vertical neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Own cell, then left, up, right, down, as the (x, y) subtracted from a centre before it is cut to
# whole cells.
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
        ratio: How many times a side may be the anchor's, or the anchor's the side, exclusively.

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
    """Do the work of assign() in cells.

    Args:
        labels: [T, 2] int64 (image, class).
        centres, sizes: [L, T, 2] of the targets.
        anchors: [L, A, 2].
        cells: [L, 2] sides of the grids.
        ratio: As in assign().
    """
    fits = match_anchors(sizes, anchors, ratio)
    near = choose_neighbours(centres, cells)
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
    return torch.tensor(
        [(columns, rows) for rows, columns in grids], dtype=torch.float32, device=like.device
    )


def to_cells(targets: Tensor, cells: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Centres and sizes [L, T, 2] in cells of every level.

    targets: [T, 6] with corners in pixels. cells: [L, 2] sides of the grids. image_size: (height,
    width) in pixels.
    """
    height, width = image_size
    low, high = targets[:, 2:4], targets[:, 4:6]
    per_pixel = (cells / cells.new_tensor((width, height)))[:, None]
    return (low + high) / 2 * per_pixel, (high - low) * per_pixel


def match_anchors(sizes: Tensor, anchors: Tensor, ratio: float) -> Tensor:
    """Whether neither side is `ratio` times the other's or more: bool [L, A, T].

    sizes: [L, T, 2] of the targets. anchors: [L, A, 2].
    """
    quotient = sizes[:, None] / anchors[:, :, None]
    return torch.maximum(quotient, 1 / quotient).amax(3) < ratio


def choose_neighbours(centres: Tensor, cells: Tensor) -> Tensor:
    """Which cells take each target, centres [L, T, 2]: bool [L, 5, T], a plane for each of SHIFTS.

    A neighbour takes a target if the centre is in the cell's half on its side, and if the neighbour
    is inside the grid. A centre exactly on a line between cells counts for both sides, of which the
    right or lower one is its own cell once more.
    """
    from_right = cells[:, None] - centres
    low = ((centres % 1 < 0.5) & (centres > 1)).movedim(2, 1)
    high = ((from_right % 1 < 0.5) & (from_right > 1)).movedim(2, 1)
    return torch.cat((torch.ones_like(low[:, :1]), low, high), 1)


def whole_cells(centre: Tensor, shift: Tensor, cells: Tensor) -> Tensor:
    """(column, row) [N, 2] int64 inside the grid.

    centre: [N, 2]. shift: [N] numbers of SHIFTS. cells: [N, 2] sides of the grids.
    """
    moved = (centre - centre.new_tensor(SHIFTS)[shift]).long()
    return torch.minimum(moved.clamp_(min=0), cells.long() - 1)
