"""Matching of detections with labels, by the rule of YOLOv5 or of YOLOv8.

By both rules a pair must be of the same class, and its IoU must reach the threshold.
"""

from __future__ import annotations

import numpy as np
import torch

from utils.boxes import box_iou

IOU_THRESHOLDS = torch.linspace(0.5, 0.95, 10)


def match_predictions(
    detections: torch.Tensor,
    labels: torch.Tensor,
    ious: torch.Tensor = IOU_THRESHOLDS,
    protocol: str = "yolov5",
) -> np.ndarray:
    """Decide which detections are correct at each of K IoU thresholds.

    By YOLOv5's rule each detection competes for one label only: the one of its class with the
    highest IoU (the first of equals). Of several detections that compete for a label, the one with
    the highest score is correct, not the one that overlaps it most. By YOLOv8's rule each detection
    in turn takes, of the labels that are still free, the one that it overlaps most.

    Args:
        detections: [n, 6] corners in pixels, score, class, by descending score.
        labels: [m, 5] class, corners in the same pixels.
        ious: [K] thresholds, ascending.
        protocol: "yolov5" or "yolov8".

    Returns:
        [n, K] bool, True where a detection is correct.
    """
    correct = np.zeros((len(detections), len(ious)), dtype=bool)
    if not len(detections) or not len(labels):
        return correct
    overlap = box_iou(labels[:, 1:5], detections[:, :4])
    # Pairs of different classes must never match, so their overlap counts as none.
    overlap = torch.where(labels[:, :1] == detections[:, 5], overlap, overlap.new_zeros(()))
    if protocol == "yolov8":
        return match_in_turn(overlap.cpu().numpy().T, ious.cpu().numpy())
    # The label is chosen once, before any threshold: the best one, even if another is still free.
    best, label = (column.cpu().numpy() for column in overlap.max(0))
    for number, threshold in enumerate(ious.cpu().numpy()):
        reaching = np.flatnonzero(best >= threshold)
        # np.unique gives the first occurrence of each label. Rows are sorted by score, so the
        # detection with the highest score gets the label.
        _, first = np.unique(label[reaching], return_index=True)
        correct[reaching[first], number] = True
    return correct


def match_in_turn(overlap: np.ndarray, ious: np.ndarray) -> np.ndarray:
    """Match by YOLOv8's rule: each detection takes the free label that it overlaps most.

    overlap holds the IoU [n, m] of detections, by descending score, with labels (0 if the classes
    differ), and ious the [K] thresholds. Returns [n, K] bool, True where a detection is correct.
    """
    correct = np.zeros((len(overlap), len(ious)), dtype=bool)
    taken = np.zeros((len(ious), overlap.shape[1]), dtype=bool)
    for number in np.flatnonzero(overlap.max(1) >= ious.min()):
        offered = np.where(taken, -1, overlap[number])
        best = offered.argmax(1)
        reaching = np.flatnonzero(offered.max(1) >= ious)
        correct[number, reaching] = taken[reaching, best[reaching]] = True
    return correct
