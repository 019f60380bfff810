"""Matching of detections with labels, by the rule of YOLOv5 or of YOLOv8.

By both rules a pair must be of the same class, and its IoU must reach the threshold.
"""

from __future__ import annotations

import numpy as np
import torch

from utils.boxes import box_iou_array

# torch rounds some of them to another float32 than NumPy does.
IOU_THRESHOLDS = torch.linspace(0.5, 0.95, 10).numpy()
Rows = torch.Tensor | np.ndarray  # on the CPU


def as_floats(rows: torch.Tensor | np.ndarray) -> np.ndarray:
    """Rows as a float32 array; one on the CPU shares their memory."""
    if isinstance(rows, torch.Tensor):
        rows = rows.detach().to("cpu", torch.float32).numpy()
    return rows.astype(np.float32, copy=False)


def match_predictions(
    detections: Rows,
    labels: Rows,
    ious: Rows = IOU_THRESHOLDS,
    protocol: str = "yolov5",
    overlap: np.ndarray | None = None,
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
        overlap: Their IoU [m, n], if it is known.

    Returns:
        [n, K] bool, True where a detection is correct.
    """
    detections, labels, ious = np.asarray(detections), np.asarray(labels), np.asarray(ious)
    correct = np.zeros((len(detections), len(ious)), dtype=bool)
    if not len(detections) or not len(labels):
        return correct
    if overlap is None:
        overlap = box_iou_array(labels[:, 1:5], detections[:, :4])
    # Pairs of different classes must never match, so their overlap counts as none.
    overlap = np.where(labels[:, :1] == detections[:, 5], overlap, overlap.dtype.type(0))
    if protocol == "yolov8":
        return match_in_turn(overlap.T, ious)
    # The label is chosen once, before any threshold: the best one, even if another is still free.
    rows = np.flatnonzero(overlap.max(0) >= ious[0])
    offered = overlap[:, rows]
    best = offered.max(0)
    # A detection is correct if it reaches the threshold and none before it took its label.
    before = highest_before(best, offered.argmax(0))
    correct[rows] = (best[:, None] >= ious) & (before[:, None] < ious)
    return correct


def highest_before(best: np.ndarray, label: np.ndarray) -> np.ndarray:
    """For each of n detections, the highest IoU of those before it with the same label: [n].

    best holds their IoU [n], and label the number of the label [n]. Without any before it is -1.
    """
    highest: dict[int, float] = {}
    found = np.full(len(best), -1, best.dtype)
    for row, (value, number) in enumerate(zip(best.tolist(), label.tolist(), strict=True)):
        known = found[row] = highest.get(number, -1.0)
        highest[number] = max(known, value)
    return found


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
