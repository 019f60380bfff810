"""The loss of the anchor-free head: box (CIoU), class and distribution focal loss, as in YOLOv8.

A head without bins (reg_max 1, YOLO26) has the absolute error of the distances as its third term.
train.py and val.py call it with the head's raw maps and the batch's targets in pixels.
models/losses/task_align.py decides which cells belong to which target. The loss computes in float32
for maps of any type, and depends on a HeadSpec, never on a model.
Sources: CIoU, Zheng et al., arXiv 1911.08287; distribution focal loss, Li et al., arXiv 2006.04388.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.losses.constants import constant
from models.losses.distances import (
    centres_of,
    distance_error,
    distribution_entropy,
    expected_distance,
    to_corners,
    to_distances,
)
from models.losses.task_align import AlignSettings, Positives, Predictions, align_targets
from utils.boxes import bbox_ciou
from utils.errors import check_setting
from utils.hyperparameters import Hyperparameters
from utils.structures import HeadSpec


@dataclass(frozen=True, slots=True)
class TaskAlignedSettings:
    """Figures of the loss: gains of (box, cls, dfl or l1), and those of the assignment."""

    gains: tuple[float, float, float] = (7.5, 0.5, 1.5)
    align: AlignSettings = field(default_factory=AlignSettings)


def build_task_aligned_loss(
    spec: HeadSpec, hyp: Hyperparameters, imgsz: int, smoothing: float
) -> TaskAlignedLoss:
    """Make the loss of a head without anchors; see models.losses.build_loss for the arguments.

    The size of images does not matter to it. hyp.dfl is the gain of the third term, which is the
    error of the distances for a head without bins. Raises UserError for an option that only the
    loss of heads with anchors has, and for a head that predicts no distances.
    """
    for name, value in {"--label-smoothing": smoothing, "fl_gamma": hyp.fl_gamma}.items():
        check_setting(
            not value, name, value, "the loss of anchor-free heads has no such option; leave it out"
        )
    check_setting(
        spec.reg_max >= 1,
        "reg_max",
        spec.reg_max,
        "a head that has no anchors needs 1 value a side or more; write 16",
    )
    align_settings = AlignSettings(small_side=hyp.small_side)
    return TaskAlignedLoss(spec, TaskAlignedSettings((hyp.box, hyp.cls, hyp.dfl), align_settings))


class TaskAlignedLoss:
    """Box, class and distance loss; see models.losses.Loss. It has no state."""

    def __init__(self, spec: HeadSpec, settings: TaskAlignedSettings) -> None:
        self.spec = spec
        self.names = ("box", "cls", "dfl" if spec.reg_max > 1 else "l1")
        self.settings = settings

    def __call__(
        self, raw: list[Tensor], targets: Tensor, image_size: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Loss of a batch.

        Args:
            raw: Per level [B, 4 * reg_max + nc, rows, columns] logits, finest first: the bins of
                the distances to the left, upper, right and lower side, then the classes.
            targets: [T, 6] image_index, class, x1, y1, x2, y2 in pixels; T may be 0.
            image_size: Ignored, since it follows from the maps and their strides.

        Returns:
            The sum of the terms * B with gradients, and the weighted terms [3] without.
        """
        with torch.autocast(raw[0].device.type, enabled=False):
            return self.measure(raw, targets.to(raw[0].device, torch.float32))

    def measure(self, raw: list[Tensor], targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch outside autocast, with targets in float32 on the maps' device."""
        rows = align_targets(self.predict(raw), targets, self.settings.align)
        # A batch without positives has no weight, but its background still has to be learned.
        total_weight = rows.weight.sum().clamp(min=1)

        background, positives = self.read(raw, targets, rows)
        cls = background - positives.agreement()
        box, distance = positives.regression()
        gains = constant(self.settings.gains, rows.weight.dtype, rows.weight.device)
        terms = torch.stack((box, cls, distance)) / total_weight * gains
        return terms.sum() * raw[0].shape[0], terms.detach()

    @torch.no_grad()
    def predict(self, raw: list[Tensor]) -> Predictions:
        """Decode the boxes of all cells; see Predictions."""
        split, boxes = 4 * self.spec.reg_max, []
        for level, stride in zip(raw, self.spec.strides, strict=True):
            # Softmax of a contiguous copy is twice as fast as softmax of a slice.
            bins = level.permute(0, 2, 3, 1)[..., :split].float().contiguous()
            distance = expected_distance(bins.unflatten(3, (4, -1)))
            boxes.append((to_corners(centres_of(level), distance) * stride).flatten(1, 2))
        return Predictions(
            torch.cat(boxes, 1), [level[:, split:].detach() for level in raw], self.spec.strides
        )

    def read(self, raw: list[Tensor], targets: Tensor, rows: Positives) -> tuple[Tensor, Matched]:
        """Read all values that the terms need from the maps.

        Returns the class cross entropy of all cells with a target of 0, and the positives, for
        which Matched.agreement() corrects it.
        """
        split, background = 4 * self.spec.reg_max, rows.weight.new_zeros(())
        picked, centre, size, target, wanted, share = [], [], [], [], [], []
        for (chosen, row, column), level, stride in zip(
            by_level(rows, raw), raw, self.spec.strides, strict=True
        ):
            place = torch.stack((rows.image[chosen], row, column))
            entropy, values = ReadMap.apply(level, place, split)
            background = background + entropy
            picked.append(values)
            centre.append(torch.stack((column, row), 1) + 0.5)
            sides = constant(tuple(level.shape[:1:-1]), centre[-1].dtype, level.device)
            size.append(sides.expand_as(centre[-1]))
            target.append(targets[rows.target[chosen]])
            wanted.append(target[-1][:, 2:6] / stride)
            share.append(rows.weight[chosen])
        bins, logits = torch.cat(picked).split((split, self.spec.class_count), dim=1)
        return background, Matched(
            bins.unflatten(1, (4, -1)),
            logits,
            torch.cat(target)[:, 1].long(),
            torch.cat(centre),
            torch.cat(size),
            torch.cat(wanted),
            torch.cat(share),
        )


@dataclass(frozen=True, slots=True)
class Matched:
    """P cells that have to predict a target, lengths in cells of their level.

    Attributes:
        bins: [P, 4, reg_max] predicted logits, float32 with gradients.
        logits: [P, nc] of the classes, likewise.
        label: [P] int64, classes of the targets.
        centre: [P, 2] (x, y) of the cells.
        size: [P, 2] (width, height) of their maps.
        box: [P, 4] corners of the targets.
        weight: [P] the scores to be predicted.
    """

    bins: Tensor
    logits: Tensor
    label: Tensor
    centre: Tensor
    size: Tensor
    box: Tensor
    weight: Tensor

    def agreement(self) -> Tensor:
        """The sum of t x, to subtract from the background's cross entropy, that of softplus(x).

        x is a logit and t the score to be predicted: the cross entropy is softplus(x) - t x.
        """
        logit = self.logits.gather(1, self.label[:, None])[:, 0]
        return (logit * self.weight).sum()

    def regression(self) -> tuple[Tensor, Tensor]:
        """1 - CIoU and the loss of the distances, each summed by weight.

        The latter is the distribution focal loss, or the error of distances without bins.
        """
        found, wanted = expected_distance(self.bins), to_distances(self.centre, self.box)
        overlap = bbox_ciou(to_corners(self.centre, found), self.box, xyxy=True)
        if self.bins.shape[-1] > 1:
            error = distribution_entropy(self.bins, wanted)
        else:
            error = distance_error(found, wanted, self.size)
        return ((1 - overlap) * self.weight).sum(), (error * self.weight).sum()


class MapContext(Protocol):
    """The context that ReadMap keeps between its forward and its backward pass."""

    split: int

    @property
    def saved_tensors(self) -> tuple[Tensor, Tensor]: ...

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class ReadMap(torch.autograd.Function):
    """All that the loss reads from a level's map, with a gradient that is written once.

    Plain indexing would make a map of zeros for the cells and another for the classes, and add
    them up. With the maps of eight 640 px images and 80 classes, in channels-last order, forward
    and backward pass take 0.6 times as long as plain operations do (one thread).
    """

    @staticmethod
    def forward(ctx: MapContext, level: Tensor, place: Tensor, split: int) -> tuple[Tensor, Tensor]:
        """Sum softplus over the class channels, and pick cells.

        Args:
            ctx: Keeps what backward needs.
            level: [B, C, rows, columns], the map.
            place: [3, P] int64 image, row, column of the cells; no cell twice.
            split: The first class channel.

        Returns:
            The sum of softplus over the channels from `split` on, and the cells [P, C] float32.
        """
        ctx.save_for_backward(level, place)
        ctx.split = split
        cells = level.permute(0, 2, 3, 1)
        entropy = F.softplus(cells[..., split:].float().contiguous())
        return entropy.sum(), cells[tuple(place)].float()

    @staticmethod
    @once_differentiable
    def backward(
        ctx: MapContext, of_entropy: Tensor, of_cells: Tensor
    ) -> tuple[Tensor, None, None]:
        """The map's gradient: the sigmoid (the slope of softplus), plus that of the cells."""
        level, place = ctx.saved_tensors
        cells = level.permute(0, 2, 3, 1)
        grad = torch.empty_like(cells)
        # The slice is copied even where it is contiguous already, as on a map of one cell: the
        # sigmoid is computed in place, and the map belongs to the network.
        slope = cells[..., ctx.split :].to(
            torch.float32, copy=True, memory_format=torch.contiguous_format
        )
        grad[..., : ctx.split] = 0
        grad[..., ctx.split :] = slope.sigmoid_().mul_(of_entropy)
        grad[tuple(place)] += of_cells.to(grad.dtype)
        return grad.permute(0, 3, 1, 2), None, None


def by_level(rows: Positives, maps: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Sort the positives by level: their numbers, and rows and columns in its map, [P] each."""
    sizes = [level.shape[2:].numel() for level in maps]
    # Cells are numbered level by level, so the number of level starts that a cell has passed tells
    # its level; rows without a weight come after all levels.
    ends = constant(tuple(accumulate(sizes)), rows.cell.dtype, rows.cell.device)
    level_of = torch.searchsorted(ends, rows.cell, right=True)
    level_of = torch.where(rows.weight > 0, level_of, len(maps))
    counts = (level_of[:, None] == torch.arange(len(maps), device=level_of.device)).sum(0).tolist()
    chosen = level_of.sort(stable=True).indices[: sum(counts)]
    found, start = [], 0
    for level, size, part in zip(maps, sizes, chosen.split(counts), strict=True):
        cell, width = rows.cell[part] - start, level.shape[3]
        found.append((part, cell // width, cell % width))
        start += size
    return found
