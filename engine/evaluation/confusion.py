"""Confusion matrix of a detector: what was labelled against what was found. Fed by metrics.py."""

from __future__ import annotations

import numpy as np
import torch

from utils.boxes import box_iou


class ConfusionMatrix:
    """matrix [nc + 1, nc + 1]: row = predicted class, column = labelled class, the last of both =
    background.
    """

    def __init__(
        self, class_count: int, conf: float = 0.25, iou: float = 0.45, protocol: str = "yolov5"
    ) -> None:
        """conf, iou: lowest score and lowest overlap, exclusively, that count. protocol: one of
        metrics.PROTOCOLS.
        """
        self.class_count = class_count
        self.conf = conf
        self.iou = iou
        self.protocol = protocol
        self.matrix = np.zeros((class_count + 1, class_count + 1))

    def add(self, detections: torch.Tensor, labels: torch.Tensor) -> None:
        """Count one image: detections [n, 6] corners, score, class; labels [m, 5] class, corners.

        Pairs are made by overlap, whatever the classes; by YOLOv8's protocol those of one class
        first. As in YOLOv5 a image without labels is not counted, and unmatched detections count
        as background only in images with at least one pair.
        """
        if not len(labels):
            return
        background = self.class_count
        detections = detections[detections[:, 4] > self.conf]
        labelled = labels[:, 0].long().cpu().numpy()
        predicted = detections[:, 5].long().cpu().numpy()
        overlap = box_iou(labels[:, 1:5], detections[:, :4]).cpu().numpy()
        if self.protocol == "yolov8":
            overlap = overlap + (overlap > self.iou) * (
                labelled[:, None] == predicted
            )  # above any of other classes
        label, detection = self.pair(overlap)
        np.add.at(self.matrix, (predicted[detection], labelled[label]), 1)
        self.matrix[background] += np.bincount(np.delete(labelled, label), minlength=background + 1)
        if len(label):
            self.matrix[:, background] += np.bincount(
                np.delete(predicted, detection), minlength=background + 1
            )

    def pair(self, overlap: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Overlap [m, n] -> numbers of paired labels and detections, the same length.

        A detection goes to the label it overlaps most; a label then keeps the detection that
        overlaps it most.
        """
        if not overlap.size:
            nothing = np.zeros(0, dtype=int)
            return nothing, nothing
        favourite = overlap.argmax(0)
        mutual = np.full_like(overlap, -1)
        columns = np.arange(overlap.shape[1])
        mutual[favourite, columns] = overlap[favourite, columns]
        keeper = mutual.argmax(1)
        paired = np.flatnonzero(mutual.max(1) > self.iou)
        return paired, keeper[paired]

    def normalised(self) -> np.ndarray:
        """Shares of each labelled class, columns summing to 1 (or to 0 where there is nothing)."""
        return self.matrix / np.maximum(self.matrix.sum(0, keepdims=True), 1e-9)
