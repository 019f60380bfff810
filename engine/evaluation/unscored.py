"""Detections on objects that are not scored: VOC's difficult ones and COCO's crowds.

VOC gives each detection to the object that it overlaps most; if that one is difficult, the
detection counts neither as true nor as false. COCO matches ordinary objects first; what is left
and lies in a crowd does not count. Any number of detections may lie on such an object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from utils.boxes import box_ioa, box_iou


@dataclass(frozen=True, slots=True)
class Unscored:
    """The relation of n detections to the objects of their image that are not scored.

    Attributes:
        taken: [n] bool, whether a difficult object is the one that a detection overlaps most.
        reach: [n] float32, the IoU threshold up to which a detection without a match is ignored.
    """

    taken: np.ndarray
    reach: np.ndarray

    def ignored(self, correct: np.ndarray, ious: np.ndarray) -> np.ndarray:
        """Which detections count neither as true nor as false: [n, K] bool.

        correct holds [n, K] the true ones at K thresholds.
        """
        reach = self.reach[:, None]
        return np.asarray((reach > 0) & (reach >= ious) & ~correct)


def find_unscored(
    detections: torch.Tensor | np.ndarray,
    labels: torch.Tensor | np.ndarray,
    unscored: torch.Tensor | np.ndarray,
    any_class: bool = False,
) -> Unscored:
    """Relate the detections of an image to its objects that are not scored.

    Args:
        detections: [n, 6] corners in pixels, score, class.
        labels: [m, 5] class, corners in the same pixels.
        unscored: [k, 6] class, corners in the same pixels, 1 for a crowd.
        any_class: Compare detections and objects of different classes too.
    """
    detections, labels, unscored = map(torch.as_tensor, (detections, labels, unscored))
    overlap = box_iou(unscored[:, 1:5], detections[:, :4])
    is_crowd = unscored[:, 5] > 0
    inside = box_ioa(unscored[is_crowd, 1:5], detections[:, :4])
    same = any_class | (unscored[:, :1] == detections[:, 5])
    crowd = torch.where(same[is_crowd], inside, 0)
    difficult = torch.where(same[~is_crowd], overlap[~is_crowd], 0)
    ordinary = box_iou(labels[:, 1:5], detections[:, :4])
    ordinary = torch.where(any_class | (labels[:, :1] == detections[:, 5]), ordinary, 0)
    best = _highest(difficult)
    taken = best > _highest(ordinary)
    reach = torch.maximum(_highest(crowd), torch.where(taken, best, 0))
    return Unscored(taken.numpy(), reach.numpy())


def _highest(overlap: torch.Tensor) -> torch.Tensor:
    """The highest of k overlaps of each of n boxes, 0 for k = 0: [n]."""
    return torch.cat((overlap, overlap.new_zeros(1, overlap.shape[1]))).amax(0)
