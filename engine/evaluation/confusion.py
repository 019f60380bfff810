"""Confusion matrix of a detector: labelled classes against predicted ones. metrics.py fills it."""

from __future__ import annotations

import numpy as np

from engine.evaluation.matching import Rows
from engine.evaluation.unscored import find_unscored
from utils.boxes import box_iou_array


class ConfusionMatrix:
    """Counts of predicted and labelled classes.

    Attributes:
        matrix: [nc + 1, nc + 1], row predicted class, column labelled class; the last row and
            column are the background.
    """

    def __init__(
        self, class_count: int, conf: float = 0.25, iou: float = 0.45, protocol: str = "yolov5"
    ) -> None:
        """Start with zeros.

        Args:
            class_count: Number of classes, nc.
            conf: Score that a detection must exceed to count.
            iou: IoU that a pair must exceed to count.
            protocol: "yolov5" or "yolov8".
        """
        self.class_count = class_count
        self.conf = conf
        self.iou = iou
        self.protocol = protocol
        self.matrix = np.zeros((class_count + 1, class_count + 1))

    def add(
        self,
        detections: Rows,
        labels: Rows,
        unscored: Rows | None = None,
        overlap: np.ndarray | None = None,
    ) -> None:
        """Count one image.

        Detections and labels are paired by overlap regardless of class; YOLOv8's protocol pairs
        those of the same class first. As in YOLOv5, an image without labels is not counted, and
        unmatched detections count as background only in images with at least one pair.

        Args:
            detections: [n, 6] corners, score, class.
            labels: [m, 5] class, corners in the same pixels.
            unscored: [k, 6] class, corners, 1 for a crowd: objects of any class on which unmatched
                detections are not counted.
            overlap: The IoU [m, n] of labels and detections, if it is known.
        """
        if not len(labels):
            return
        detections, labels = np.asarray(detections), np.asarray(labels)
        rows = np.flatnonzero(detections[:, 4] > self.conf)
        scored = np.ones(len(rows), bool)
        if unscored is not None and len(unscored):
            unscored = np.asarray(unscored)
            relation = find_unscored(detections[rows], labels, unscored, any_class=True)
            rows = rows[~(relation.taken & (relation.reach > self.iou))]
            relation = find_unscored(detections[rows], labels, unscored, any_class=True)
            scored = relation.reach <= self.iou
        found = detections[rows]
        if overlap is None:
            overlap = box_iou_array(labels[:, 1:5], found[:, :4])
        else:
            overlap = overlap[:, rows]
        self._count(labels[:, 0].astype(int), found[:, 5].astype(int), overlap, scored)

    def _count(
        self, labelled: np.ndarray, predicted: np.ndarray, overlap: np.ndarray, scored: np.ndarray
    ) -> None:
        """Pair labels with detections, and count the pairs and what is left.

        Args:
            labelled: [m] classes.
            predicted: [n] classes.
            overlap: [m, n] IoU.
            scored: [n] bool, whether a detection is false if it has no label.
        """
        if self.protocol == "yolov8":
            # An IoU is at most 1, so adding 1 ranks pairs of the same class above all others.
            overlap = overlap + (overlap > self.iou) * (labelled[:, None] == predicted)
        label, detection = self.pair(overlap)
        background, missed = self.class_count, np.ones(len(labelled), bool)
        missed[label] = False
        np.add.at(self.matrix, (predicted[detection], labelled[label]), 1)
        np.add.at(self.matrix[background], labelled[missed], 1)
        if len(label):
            scored[detection] = False
            np.add.at(self.matrix[:, background], predicted[scored], 1)

    def pair(self, overlap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pair labels with detections by their IoU [m, n].

        Returns the row numbers of the paired labels and, in the same order, of their detections.
        Each detection chooses the label that it overlaps most; each label then keeps, of the
        detections that chose it, the one that overlaps it most.
        """
        if not overlap.size:
            nothing = np.zeros(0, dtype=int)
            return nothing, nothing
        chosen_label = overlap.argmax(0)
        mutual = np.full_like(overlap, -1)
        columns = np.arange(overlap.shape[1])
        mutual[chosen_label, columns] = overlap[chosen_label, columns]
        kept_detection = mutual.argmax(1)
        paired = np.flatnonzero(mutual.max(1) > self.iou)
        return paired, kept_detection[paired]

    def normalised(self) -> np.ndarray:
        """Shares of each labelled class: columns sum to 1, or to 0 where nothing was counted."""
        sums: np.ndarray = self.matrix.sum(0, keepdims=True)
        shares: np.ndarray = self.matrix / np.maximum(sums, 1e-9)
        return shares
