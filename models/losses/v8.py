"""The loss of the anchor-free head: box (CIoU), class and distribution focal loss, as YOLOv8 weighs
them.

Takes the head's raw maps and the batch's targets in pixels (train.py, val.py); asks
models/losses/task_align.py which cells answer for which target. Computed in float32 whatever the
maps' type. It knows a HeadSpec, never a model.
Sources: CIoU, Zheng et al., arXiv 1911.08287; distribution focal loss, Li et al., arXiv 2006.04388.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.losses.task_align import AlignSettings, Positives, Predictions, align
from utils.boxes import bbox_ciou
from utils.structures import HeadSpec

LAST_BIN_MARGIN = 0.01  # cells by which a distance stays below the last bin


@dataclass(frozen=True, slots=True)
class TaskAlignedSettings:
    """Figures of the loss.

    gains: of (box, cls, dfl). align: see AlignSettings. class_weights: a factor per class of the
    cross entropy, () for none.
    """

    gains: tuple[float, float, float] = (7.5, 0.5, 1.5)
    align: AlignSettings = field(default_factory=AlignSettings)
    class_weights: tuple[float, ...] = ()


class TaskAlignedLoss:
    """loss(raw, targets, image_size) -> (total * batch, items). It has no state."""

    names = ("box", "cls", "dfl")  # of items

    def __init__(self, spec: HeadSpec, settings: TaskAlignedSettings) -> None:
        self.spec = spec
        self.settings = settings

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Loss of a batch.

        raw: per level [B, 4 * reg_max + nc, rows, columns] logits, finest first: the bins of the
        distances to the left, upper, right and lower side, then the classes. targets: [T, 6]
        image_index, class, x1, y1, x2, y2 in pixels; T may be 0. image_size is not needed: a map's
        cells and stride say it. Returns (box + cls + dfl) * B with gradients, and the weighted
        terms [3] box, cls, dfl without.
        """
        with torch.autocast(raw[0].device.type, enabled=False):
            return self.measure(raw, targets.to(raw[0].device, torch.float32))

    def measure(self, raw: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The call without its precautions: targets are float32, on the maps' device."""
        rows = align(self.predict(raw), targets, self.settings.align)
        total_weight = rows.weight.sum().clamp(min=1)

        background, positives = self.read(raw, targets, rows)
        cls = background - positives.agreement(self.class_weights(targets))
        box, dfl = positives.regression()
        terms = (
            torch.stack((box, cls, dfl))
            / total_weight
            * rows.weight.new_tensor(self.settings.gains)
        )
        return terms.sum() * raw[0].shape[0], terms.detach()

    @torch.no_grad()
    def predict(self, raw: list[Tensor]) -> Predictions:
        """Decode the boxes of all cells; see Predictions."""
        split, boxes = 4 * self.spec.reg_max, []
        for level, stride in zip(raw, self.spec.strides, strict=True):
            bins = (
                level.permute(0, 2, 3, 1)[..., :split].float().contiguous()
            )  # twice as fast as softmax of a slice
            distance = expected_distance(bins.unflatten(3, (4, -1)))
            boxes.append((to_corners(centres_of(level), distance) * stride).flatten(1, 2))
        return Predictions(
            torch.cat(boxes, 1), [level[:, split:].detach() for level in raw], self.spec.strides
        )

    def class_weights(self, like: Tensor) -> Tensor:
        """Factors of the classes' cross entropies, [nc]."""
        return like.new_tensor(self.settings.class_weights or (1.0,) * self.spec.class_count)

    def read(self, raw: list[Tensor], targets: Tensor, rows: Positives) -> tuple[Tensor, Matched]:
        """Take from the maps the class cross entropy of all cells, as if all scores were to be 0,
        and the positives.
        """
        weights = self.class_weights(targets) if self.settings.class_weights else None
        background, picked, centre, target, wanted, share = (
            rows.weight.new_zeros(()),
            [],
            [],
            [],
            [],
            [],
        )
        for (chosen, row, column), level, stride in zip(
            by_level(rows, raw), raw, self.spec.strides, strict=True
        ):
            place = torch.stack((rows.image[chosen], row, column))
            entropy, values = ReadMap.apply(level, place, 4 * self.spec.reg_max, weights)
            background = background + entropy
            picked.append(values)
            centre.append(torch.stack((column, row), 1) + 0.5)
            target.append(targets[rows.target[chosen]])
            wanted.append(target[-1][:, 2:6] / stride)
            share.append(rows.weight[chosen])
        bins, logits = torch.cat(picked).split(
            (4 * self.spec.reg_max, self.spec.class_count), dim=1
        )
        label = torch.cat(target)[:, 1].long()
        return background, Matched(
            bins.unflatten(1, (4, -1)),
            logits,
            label,
            torch.cat(centre),
            torch.cat(wanted),
            torch.cat(share),
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """P cells that answer for a target, lengths in cells of their level.

    bins: [P, 4, reg_max] and logits: [P, nc], predicted, float32 with gradients. label: [P] int64.
    centre: [P, 2] of the cell. box: [P, 4] corners of the target. weight: [P] the score to be
    predicted.
    """

    bins: Tensor
    logits: Tensor
    label: Tensor
    centre: Tensor
    box: Tensor
    weight: Tensor

    def agreement(self, class_weights: Tensor) -> Tensor:
        """What the target scores take off the cross entropy: with x the logit and t the score,
        softplus(x) - t x.
        """
        logit = self.logits.gather(1, self.label[:, None])[:, 0]
        return (logit * self.weight * class_weights[self.label]).sum()

    def regression(self) -> tuple[Tensor, Tensor]:
        """1 - CIoU and the distribution focal loss, each summed by weight."""
        overlap = bbox_ciou(
            to_corners(self.centre, expected_distance(self.bins)), self.box, xyxy=True
        )
        entropy = distribution_entropy(self.bins, to_distances(self.centre, self.box))
        return ((1 - overlap) * self.weight).sum(), (entropy * self.weight).sum()


class ReadMap(torch.autograd.Function):
    """All that the loss takes from a level's map, so that its gradient is written once and not
    added up from parts.
    """

    @staticmethod
    def forward(
        ctx: Any, level: Tensor, place: Tensor, split: int, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Map [B, C, rows, columns] -> sum of softplus over the channels from `split` on, and cells
        [P, C] float32.

        place: [3, P] int64 image, row, column; no cell twice. weights: [C - split], factors of the
        channels.
        """
        ctx.save_for_backward(level, place, *([] if weights is None else [weights]))
        ctx.split = split
        cells = level.permute(0, 2, 3, 1)
        entropy = F.softplus(cells[..., split:].float().contiguous())
        return (entropy if weights is None else entropy.mul_(weights)).sum(), cells[
            tuple(place)
        ].float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_entropy: Tensor, of_cells: Tensor) -> tuple[Tensor, None, None, None]:
        level, place, *weights = ctx.saved_tensors
        cells = level.permute(0, 2, 3, 1)
        grad = torch.empty_like(cells)
        slope = cells[..., ctx.split :].to(
            torch.float32, copy=True, memory_format=torch.contiguous_format
        )
        slope.sigmoid_().mul_(of_entropy)
        grad[..., : ctx.split] = 0
        grad[..., ctx.split :] = slope.mul_(weights[0]) if weights else slope
        grad[tuple(place)] += of_cells.to(grad.dtype)
        return grad.permute(0, 3, 1, 2), None, None, None


def by_level(rows: Positives, maps: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Per level the numbers of its rows that count, and their row and column in its map, each [P]
    int64.
    """
    found, start = [], 0
    for level in maps:
        height, width = level.shape[2:]
        inside = (rows.cell >= start) & (rows.cell < start + height * width) & (rows.weight > 0)
        chosen = inside.nonzero()[:, 0]
        cell = rows.cell[chosen] - start
        found.append((chosen, cell // width, cell % width))
        start += height * width
    return found


def centres_of(level: Tensor) -> Tensor:
    """Map [B, C, rows, columns] -> centres (x, y) of its cells [rows, columns, 2], in cells."""
    y, x = (
        torch.arange(count, dtype=torch.float32, device=level.device) + 0.5
        for count in level.shape[2:]
    )
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), 2)


def expected_distance(logits: Tensor) -> Tensor:
    """Logits [..., bins] of the distances 0, 1, 2 … -> their expectation [...]."""
    return logits.softmax(-1) @ torch.arange(
        logits.shape[-1], dtype=logits.dtype, device=logits.device
    )


def to_corners(centre: Tensor, distance: Tensor) -> Tensor:
    """Centres [..., 2] and distances to the left, upper, right, lower side [..., 4] -> corners
    [..., 4].
    """
    return torch.cat((centre - distance[..., :2], centre + distance[..., 2:]), -1)


def to_distances(centre: Tensor, boxes: Tensor) -> Tensor:
    """Centres [..., 2] and corners [..., 4] -> distances to the left, upper, right, lower side
    [..., 4].
    """
    return torch.cat((centre - boxes[..., :2], boxes[..., 2:] - centre), -1)


def distribution_entropy(logits: Tensor, distance: Tensor) -> Tensor:
    """Cross entropy with the two bins about each distance, shared by nearness; the mean of the four
    sides.

    logits: [P, 4, bins]. distance: [P, 4] in cells, cut to what the bins can say. Returns [P].
    """
    distance = distance.clamp(0, logits.shape[-1] - 1 - LAST_BIN_MARGIN)
    lower = distance.long()
    upper_share = distance - lower
    log = logits.log_softmax(-1)
    low, high = log.gather(-1, torch.stack((lower, lower + 1), -1)).unbind(-1)
    return -(low * (1 - upper_share) + high * upper_share).mean(-1)
