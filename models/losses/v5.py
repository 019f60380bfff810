"""The loss of the anchor head: box (CIoU), objectness and class, as YOLOv5 weighs them.

train.py and val.py call it with the head's raw maps and the batch's targets in pixels.
models/losses/assign.py decides which predictions belong to which target. The loss computes in
float32 for maps of any type, and depends on a HeadSpec, never on a model.
Sources: CIoU, Zheng et al., arXiv 1911.08287; focal loss, Lin et al., arXiv 1708.02002.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from models.losses.assign import Matches, assign
from models.losses.constants import constant
from utils.boxes import bbox_ciou
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec

BALANCE = {3: (4.0, 1.0, 0.4)}  # weight of each level's objectness, finest first
BALANCE_OTHERWISE = (4.0, 1.0, 0.25, 0.06, 0.02)
FOCAL_ALPHA = 0.25


@dataclass(frozen=True, slots=True)
class LossSettings:
    """Figures of the loss.

    Attributes:
        gains: Gains of (box, obj, cls), already scaled by scaled_gains().
        anchor_ratio: See assign().
        obj_weight, cls_weight: Weights of positive examples in the two cross entropies.
        focal_gamma: Exponent of the focal loss; 0 for none.
        smoothing: Epsilon of label smoothing.
    """

    gains: tuple[float, float, float]
    anchor_ratio: float = 4.0
    obj_weight: float = 1.0
    cls_weight: float = 1.0
    focal_gamma: float = 0.0
    smoothing: float = 0.0


def build_anchor_loss(
    spec: HeadSpec, hyp: Hyperparameters, imgsz: int, smoothing: float
) -> AnchorLoss:
    """Make the loss of a head with anchors; see models.losses.build_loss for the arguments."""
    settings = LossSettings(
        gains=scaled_gains(hyp, spec, imgsz),
        anchor_ratio=hyp.anchor_t,
        obj_weight=hyp.obj_pw,
        cls_weight=hyp.cls_pw,
        focal_gamma=hyp.fl_gamma,
        smoothing=smoothing,
    )
    pixels = torch.tensor(spec.anchors, dtype=torch.float32)
    return AnchorLoss(pixels / torch.tensor(spec.strides)[:, None, None], settings)


def scaled_gains(hyp: Hyperparameters, spec: HeadSpec, imgsz: int) -> tuple[float, float, float]:
    """Gains of (box, obj, cls), scaled to levels, classes and the image size as YOLOv5 does.

    imgsz: side of the training images, pixels.
    """
    share = 3 / spec.levels
    return (
        hyp.box * share,
        hyp.obj * (imgsz / 640) ** 2 * share,
        hyp.cls * spec.class_count / 80 * share,
    )


class AnchorLoss:
    """Box, objectness and class loss; see models.losses.Loss. Its only state is its device."""

    names = ("box", "obj", "cls")

    def __init__(self, anchors: Tensor, settings: LossSettings) -> None:
        """anchors: [L, A, 2] (w, h) in cells of their level, finest first."""
        self.anchors = anchors
        self.settings = settings
        self.balance = list(BALANCE.get(len(anchors), BALANCE_OTHERWISE))

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Loss of a batch.

        Args:
            raw: Per level [B, A, rows, columns, 5 + nc] logits (x, y, w, h, objectness, classes).
            targets: [T, 6] image_index, class, x1, y1, x2, y2 in pixels of the input; T may be 0.
            image_size: (height, width) of the input, pixels.

        Returns:
            (box + obj + cls) * B with gradients, and the weighted terms [3] without.
        """
        grids = [(level.shape[2], level.shape[3]) for level in raw]
        targets = targets.to(raw[0].device, torch.float32)
        self.anchors = self.anchors.to(raw[0].device)
        matches = assign(targets, self.anchors, grids, image_size, self.settings.anchor_ratio)
        owner, place, counts = shared_cells(matches, raw)
        parts = gather_rows(raw, matches, owner, counts)
        cells = torch.cat(parts)
        # Unlike that of cells[place], the gradient of an embedding adds up in the same order every
        # time, so that several threads give the same weights as one.
        rows = F.embedding(place, cells)
        share = mean_weights(matches.level, len(raw))

        iou = bbox_ciou(decode_boxes(rows, matches.anchor_size), matches.box)
        box = ((1 - iou) * share).sum()
        quality = self.cell_quality(iou.detach().clamp(min=0), owner, place)
        obj = self.objectness(raw, cells[:, 4], quality, counts)
        cls = self.classification(rows[:, 5:], matches.label, share)

        gains = constant(self.settings.gains, rows.dtype, rows.device)
        terms = torch.stack((box, obj, cls)) * gains
        return terms.sum() * raw[0].shape[0], terms.detach()

    def cell_quality(self, iou: Tensor, owner: Tensor, place: Tensor) -> Tensor:
        """Objectness targets [U] of the matched cells: the IoU of each cell's last match.

        Args:
            iou: [N] of the matches.
            owner: [U] index of the last match of each cell.
            place: [N] index of the cell of each match. Subclasses that compare all matches of a
                cell need it.
        """
        return iou[owner]

    def objectness(
        self, raw: list[Tensor], logits: Tensor, quality: Tensor, counts: list[int]
    ) -> Tensor:
        """Balanced sum over levels of the mean cross entropy over all cells.

        Args:
            raw: The maps, as in a call.
            logits: [U] objectness logits of the matched cells, in the order of levels.
            quality: [U] their targets; that of every other cell is 0.
            counts: Matched cells of each level.
        """
        # Nearly every cell is unmatched, so all are summed as such first and the few matched ones
        # are corrected: a map of targets is never made.
        correction = self.obj_entropy(logits, quality) - self.obj_entropy(logits, None)
        total = logits.new_zeros(())
        for number, (level, part) in enumerate(zip(raw, correction.split(counts), strict=True)):
            loss = self.level_objectness(level[..., 4].float(), part)
            total = total + loss * self.balance[number]
        return total

    def level_objectness(self, everywhere: Tensor, correction: Tensor) -> Tensor:
        """Mean cross entropy of a level's logits [B, A, rows, columns], matched ones corrected."""
        return (self.obj_entropy(everywhere, None).sum() + correction.sum()) / everywhere.numel()

    def classification(self, logits: Tensor, label: Tensor, share: Tensor) -> Tensor:
        """Sum over levels of the mean cross entropy over matches and classes; 0 for a single class.

        Args:
            logits: [N, nc] of the matches.
            label: [N] the classes of their targets.
            share: [N] their weights, see mean_weights().
        """
        class_count = logits.shape[1]
        if class_count == 1:
            return logits.new_zeros(())
        settings = self.settings
        target = torch.full_like(logits, settings.smoothing / 2, requires_grad=False)
        target[torch.arange(len(label), device=label.device), label] = 1 - settings.smoothing / 2
        entropy = cross_entropy(logits, target, settings.cls_weight, settings.focal_gamma)
        return (entropy.sum(1) * share).sum() / class_count

    def obj_entropy(self, logits: Tensor, target: Tensor | None) -> Tensor:
        """Cross entropy of objectness, elementwise; a target of None is 0 everywhere."""
        return cross_entropy(logits, target, self.settings.obj_weight, self.settings.focal_gamma)


def shared_cells(matches: Matches, raw: list[Tensor]) -> tuple[Tensor, Tensor, list[int]]:
    """Find out which of N matches share a cell (of an anchor, image and level).

    Returns:
        owner: [U] index of each cell's last match, with the cells in the order of levels.
        place: [N] index of each match's cell, 0..U-1.
        counts: Number of cells of each level.
    """
    number, order = cell_numbers(matches, raw).sort()
    starts = torch.ones_like(number, dtype=torch.bool)
    starts[1:] = number[1:] != number[:-1]
    place = torch.empty_like(number).scatter_(0, order, starts.cumsum(0) - 1)
    # The numbers of the cells on the host are the only thing for which it waits for the device.
    counts: list[int] = (
        (of_levels(matches.level[order], len(raw)) & starts[:, None]).sum(0).tolist()
    )
    # A maximum is the same on every device and for any number of threads. If all matches wrote
    # their IoU to the cell instead, it would be undefined which of them stays.
    match = torch.arange(len(place), device=place.device)
    return match.new_zeros(sum(counts)).scatter_reduce_(0, place, match, "amax"), place, counts


def of_levels(level: Tensor, levels: int) -> Tensor:
    """Whether each of N levels [N] is 0, 1, 2 …: bool [N, levels]."""
    return level[:, None] == torch.arange(levels, device=level.device)


def cell_numbers(matches: Matches, raw: list[Tensor]) -> Tensor:
    """Number the cells by level, image, anchor, row, column: [N] int64, those of the matches."""
    starts, steps, total = [], [], 0
    for images, anchors, rows, columns in (level.shape[:4] for level in raw):
        starts.append(total)
        steps.append((anchors * rows * columns, rows * columns, columns, 1))
        total += images * anchors * rows * columns
    index = torch.stack((matches.image, matches.anchor, matches.row, matches.column), 1)
    first, step = (
        constant(tuple(numbers), index.dtype, index.device)[matches.level]
        for numbers in (starts, steps)
    )
    return first + (index * step).sum(1)


def gather_rows(
    raw: list[Tensor], matches: Matches, owner: Tensor, counts: list[int]
) -> list[Tensor]:
    """The predictions of the matched cells, per level [U of the level, 5 + nc] float32 logits.

    Args:
        raw: The maps.
        matches: All matches.
        owner: [U] the match that stands for each cell.
        counts: Number of cells of each level.

    Returns:
        The rows of each level.
    """
    columns = (matches.image, matches.anchor, matches.row, matches.column)
    indices = zip(*(column[owner].split(counts) for column in columns), strict=True)
    return [level[index].float() for level, index in zip(raw, indices, strict=True)]


def mean_weights(level: Tensor, levels: int) -> Tensor:
    """Weights [N] by which a sum over all matches becomes the sum of the levels' means.

    level has the level of each match [N], and levels is the number of levels.
    """
    return (1 / of_levels(level, levels).sum(0).float())[level]


def decode_boxes(rows: Tensor, anchor_size: Tensor) -> Tensor:
    """Logits [N, 5 + nc], anchors [N, 2] -> centre relative to the cell, and size: [N, 4] cells."""
    halves = rows[:, :4].sigmoid() * 2
    return torch.cat((halves[:, :2] - 0.5, halves[:, 2:].square() * anchor_size), 1)


def cross_entropy(
    logits: Tensor, target: Tensor | None, positive_weight: float, gamma: float
) -> Tensor:
    """Binary cross entropy of logits, elementwise, focal if gamma is above 0.

    Args:
        logits: Of any shape.
        target: Of the same shape, in 0..1; None for 0 everywhere, which is quicker.
        positive_weight: Factor of the positive part.
        gamma: Exponent of the focal loss.

    Returns:
        The loss of each logit, in the shape of logits.
    """
    if target is None:
        loss = F.softplus(logits)
        return loss if gamma == 0 else loss * (1 - FOCAL_ALPHA) * logits.sigmoid() ** gamma
    loss = positive_weight * target * F.softplus(-logits) + (1 - target) * F.softplus(logits)
    if gamma == 0:
        return loss
    probability = logits.sigmoid()
    miss = target + probability - 2 * target * probability  # 1 - p_t
    return loss * (target * FOCAL_ALPHA + (1 - target) * (1 - FOCAL_ALPHA)) * miss**gamma
