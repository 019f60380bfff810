"""What is explained: the score of one object at its own cell, or that of a class in all cells."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from utils.boxes import box_iou, xywh_to_xyxy
from utils.families import Family
from utils.nms import non_max_suppression
from utils.nms_settings import NMSSettings

LEAST_OVERLAP = 0.5  # of a box with the object that it stands for


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to explain.

    Attributes:
        class_id: Number of the class.
        box: [4] xyxy in pixels of the network's input, or None for the class in all cells.
    """

    class_id: int
    box: Tensor | None = None


def find_targets(decoded: Tensor, family: Family, settings: NMSSettings, per: str) -> list[Target]:
    """The objects of an image, best first, or their classes, each once.

    Args:
        decoded: [1, N, 5 + nc] or, without objectness, [1, N, 4 + nc].
        family: The family of the head that made them.
        settings: Of non-maximum suppression.
        per: "object" or "class".
    """
    rows = non_max_suppression(decoded.detach(), family, settings)[0].cpu()
    if per == "object":
        return [Target(int(row[5]), row[:4]) for row in rows]
    return [Target(int(number)) for number in dict.fromkeys(rows[:, 5].tolist())]


def class_scores(decoded: Tensor, family: Family, class_id: int) -> Tensor:
    """Confidences [N] of a class in all boxes of one image, from decoded boxes [1, N, ...]."""
    rows = decoded[0]
    if family.has_objectness:
        return rows[:, 5 + class_id] * rows[:, 4]
    return rows[:, 4 + class_id]


def row_of(decoded: Tensor, family: Family, target: Target) -> int | None:
    """The number of the decoded box that stands for an object, or None if there is none.

    It is that of the highest confidence times overlap among the boxes that overlap the object by
    LEAST_OVERLAP. So another model's box of the same object is found too.
    """
    assert target.box is not None
    with torch.no_grad():
        corners = xywh_to_xyxy(decoded[0, :, :4].detach())
        overlap = box_iou(target.box[None].to(corners), corners)[0]
        merit = class_scores(decoded.detach(), family, target.class_id) * overlap
        merit[overlap < LEAST_OVERLAP] = -1
    best = int(merit.argmax())
    return best if merit[best] >= 0 else None


def score_of(decoded: Tensor, family: Family, target: Target, row: int | None = None) -> Tensor:
    """The score that is explained, a scalar with its gradient.

    Args:
        decoded: The model's output for one image.
        family: Its family.
        target: What is explained.
        row: The object's box; None sums the class over all boxes.
    """
    scores = class_scores(decoded, family, target.class_id)
    return scores.sum() if row is None else scores[row]
