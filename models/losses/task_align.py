"""Target assignment by task alignment: which cells predict which labelled box, with what score.

It takes the batch's targets and the predictions of an anchor-free head, both in pixels, and gives
models/losses/v8.py a fixed number of rows, in float32 and without gradients. Source: Feng et al.,
"TOOD: Task-aligned One-stage Object Detection", ICCV 2021 (https://arxiv.org/abs/2108.07755), as
YOLOv8 uses it.

Only pairs of a target and a cell inside it are scored; the table of all T x A pairs holds a single
float for each. Targets stay the flat list that the loader makes, since padding them per image would
cost more memory and more time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.boxes import bbox_ciou

MARGIN = 1e-9  # pixels by which a cell's centre must be inside a target
SMALLEST = 1e-9  # avoids division by zero for a target without any alignment
PIECE = 1 << 16  # pairs whose overlap is computed at once: bounds memory, and fits a CPU's cache


@dataclass(frozen=True, slots=True)
class AlignSettings:
    """Figures of the assignment.

    Attributes:
        topk: Cells that a target may claim.
        alpha, beta: Exponents of class score and overlap.
        small_side: Smaller sides of targets count as this many pixels, at most the second level's
            stride, in the search for the cells inside them (16 as in YOLOv8's release 8.4.190, 0
            as in its releases up to 8.3).
    """

    topk: int = 10
    alpha: float = 0.5
    beta: float = 6.0
    small_side: float = 16.0


@dataclass(frozen=True, slots=True)
class Predictions:
    """A head's predictions for a batch: L levels, A cells in all, ordered by level, row, column.

    Attributes:
        boxes: [B, A, 4] float32 xyxy in pixels.
        logits: Per level [B, nc, rows, columns].
        strides: Pixels per cell of each level.
    """

    boxes: Tensor
    logits: list[Tensor]
    strides: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Pairs:
    """K pairs of a target and a cell whose centre is inside it.

    Attributes:
        target, image: [K] int64.
        cell: [K] int64 in 0..A-1.
        score: [K] float32, predicted for the target's class, 0..1.
    """

    target: Tensor
    image: Tensor
    cell: Tensor
    score: Tensor


@dataclass(frozen=True, slots=True)
class Positives:
    """R = T * topk rows; those with a weight above 0 are positives, each in a cell of its own.

    Attributes:
        target: [R] int64, row of the targets.
        image, cell: [R] int64.
        weight: [R] float32, the score to be predicted for the target's class, 0..1; every other
            score should be 0.
    """

    target: Tensor
    image: Tensor
    cell: Tensor
    weight: Tensor


@torch.no_grad()
def align_targets(predictions: Predictions, targets: Tensor, settings: AlignSettings) -> Positives:
    """Match a batch's targets with cells; a cell has at most one target.

    Args:
        predictions: Of the head, in pixels.
        targets: [T, 6] float32 image_index, class, x1, y1, x2, y2 in pixels, in any order; a row
            whose coordinates add up to 0 or less is no target. T may be 0.
        settings: Figures of the assignment.

    Returns:
        The positives. A cell that several targets claim goes to the target around it that its box
        overlaps most, even if that target does not claim it; among equals to the first.
    """
    boxes = predictions.boxes
    pairs = find_pairs(predictions, targets, settings.small_side)
    overlap = measure_overlap(boxes, targets, pairs)
    alignment = boxes.new_zeros(len(targets), boxes.shape[1])
    alignment[pairs.target, pairs.cell] = pairs.score.pow(settings.alpha) * overlap.pow(
        settings.beta
    )
    value, cell = alignment.topk(min(settings.topk, boxes.shape[1]), dim=1)
    target = torch.arange(len(targets), device=targets.device)[:, None].expand_as(cell)
    image = targets[:, :1].long().expand_as(cell)
    claims = Positives(target.flatten(), image.flatten(), cell.flatten(), value.flatten())
    rows = settle_claims(claims, pairs, overlap, boxes.shape[:2])
    metric = torch.where(rows.weight > 0, alignment[rows.target, rows.cell], 0)
    return weigh(metric, rows, boxes, targets)


def find_pairs(predictions: Predictions, targets: Tensor, small_side: float) -> Pairs:
    """All cells strictly inside each target, after small sides grow to small_side pixels."""
    strides, low, high = predictions.strides, targets[:, 2:4], targets[:, 4:6]
    floor = min(small_side, strides[min(1, len(strides) - 1)])
    growth = (floor - (high - low)).clamp_(min=0) / 2
    low, high = low - growth, high + growth
    present = targets[:, 2:6].sum(1, keepdim=True) > 0
    images, classes = targets[:, :2].long().unbind(1)
    inside = []
    for logits, stride in zip(predictions.logits, strides, strict=True):
        rows, columns = logits.shape[2:]
        across = between(low[:, :1], high[:, :1], columns, stride) & present
        down = between(low[:, 1:], high[:, 1:], rows, stride)
        inside.append((down[:, :, None] & across[:, None, :]).flatten(1))
    # One search over all levels, since each makes the host wait for a GPU.
    target, cell = torch.cat(inside, 1).nonzero(as_tuple=True)
    image = images[target]
    score = read_scores(predictions.logits, image, classes[target], cell)
    return Pairs(target, image, cell, score.float().sigmoid())


def read_scores(logits: list[Tensor], image: Tensor, label: Tensor, cell: Tensor) -> Tensor:
    """The logits [K] of a class in cells that are numbered through all levels.

    Args:
        logits: Per level [B, nc, rows, columns].
        image, label, cell: [K] int64.
    """
    score, start = logits[0].new_zeros(len(cell)), 0
    for level in logits:
        columns, size = level.shape[3], level.shape[2:].numel()
        # Every level is read for all cells, which costs less than to ask a GPU how many it has.
        place = (cell - start).clamp_(0, size - 1)
        value = level[image, label, place // columns, place % columns]
        score = torch.where((cell >= start) & (cell < start + size), value, score)
        start += size
    return score


def between(low: Tensor, high: Tensor, count: int, stride: float) -> Tensor:
    """Which of a row's cell centres are inside intervals: bool [T, count].

    Args:
        low: [T, 1] lower ends of the intervals, pixels.
        high: [T, 1] upper ends, pixels.
        count: cells of the row.
        stride: pixels per cell.
    """
    centre = (torch.arange(count, device=low.device) + 0.5) * stride
    return torch.minimum(centre - low, high - centre) > MARGIN


def measure_overlap(boxes: Tensor, targets: Tensor, pairs: Pairs) -> Tensor:
    """CIoU of the predicted boxes and the targets of pairs, [K], with 0 for negative values."""
    places = pairs.image * boxes.shape[1] + pairs.cell
    every, wanted = boxes.flatten(0, 1), targets[:, 2:6]
    pieces = zip(places.split(PIECE), pairs.target.split(PIECE), strict=True)
    found = [bbox_ciou(every[place], wanted[target], xyxy=True) for place, target in pieces]
    return torch.cat(found).clamp_(min=0)


def settle_claims(
    claims: Positives, pairs: Pairs, overlap: Tensor, shape: tuple[int, ...]
) -> Positives:
    """Give each cell that several targets claim to the one it overlaps most.

    Args:
        claims: Rows whose weights are alignments.
        pairs: All targets around a cell, claimed or not: the winner may be any of them.
        overlap: [K] of the pairs.
        shape: (B, A).

    Returns:
        The claims, with the winner as their target. All but the first claim of a cell have the
        weight 0.
    """
    images, cells = shape
    number = torch.arange(len(claims.cell), device=overlap.device)
    place = claims.image * cells + claims.cell
    alive = claims.weight > 0
    # A cell is claimed by several targets if its first and its last claim are not the same one.
    # Minimum and maximum give that in two passes over the rows, without sorting them, and the same
    # on every device.
    first, last = number.new_full((2, images * cells), len(number)).unbind(0)
    last.fill_(-1)
    first.scatter_reduce_(0, place, torch.where(alive, number, len(number)), "amin")
    last.scatter_reduce_(0, place, torch.where(alive, number, -1), "amax")
    # The winner is the target with the largest overlap, the first one among equals. Both are found
    # by one maximum over whole numbers: the bits of a float that is not negative sort as the float
    # does, so they make the upper half of a key, and the target's number, counted from the end, the
    # lower half. Two passes of floats (which overlap, then whose) would need a comparison of floats
    # for equality.
    later = (1 << 32) - 1 - pairs.target
    key = (overlap.view(torch.int32).long() << 32) | later
    best = key.new_zeros(images * cells).scatter_reduce_(
        0, pairs.image * cells + pairs.cell, key, "amax"
    )
    winner = (1 << 32) - 1 - (best & ((1 << 32) - 1))
    shared = (first != last)[place] & alive
    return Positives(
        target=torch.where(shared, winner[place], claims.target),
        image=claims.image,
        cell=claims.cell,
        weight=torch.where(first[place] == number, claims.weight, 0),
    )


def weigh(metric: Tensor, rows: Positives, boxes: Tensor, targets: Tensor) -> Positives:
    """Turn alignments [R] into weights: a target's best cell gets the largest overlap of its cells.

    The weights of its other cells are in proportion to their alignment.
    """
    alive = metric > 0
    overlap = bbox_ciou(boxes[rows.image, rows.cell], targets[rows.target, 2:6], xyxy=True).clamp_(
        min=0
    )
    best = metric.new_zeros(2, len(targets))
    best[0].scatter_reduce_(0, rows.target, metric, "amax")
    best[1].scatter_reduce_(0, rows.target, torch.where(alive, overlap, 0), "amax")
    largest, widest = best[:, rows.target]
    return Positives(rows.target, rows.image, rows.cell, metric * widest / (largest + SMALLEST))
