"""Average precision: curves and AP of each class from matched detections.

engine/evaluation/metrics.py collects the detections of all images; engine/drawing/curves.py draws
the curves. The rules of YOLOv5 and YOLOv8 differ in the end of the precision-recall curve.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from utils.structures import ClassCurves

CONFIDENCES = np.linspace(0, 1, 1000)  # the x axis of the curves
RECALLS = np.linspace(0, 1, 101)  # the recalls at which precision is sampled for AP
TINY = 1e-16  # avoids division by zero; the value is YOLOv5's


def compute_ap(recall: np.ndarray, precision: np.ndarray, protocol: str = "yolov5") -> float:
    """Compute the average precision of one class at one IoU threshold.

    The line of envelope() is integrated by trapezoids between 101 recalls.

    Args:
        recall: [n] along descending scores, ascending.
        precision: [n] along descending scores.
        protocol: "yolov5" or "yolov8".

    Returns:
        The area in 0..1.
    """
    if not len(recall):
        return 0.0
    line = np.interp(RECALLS, *envelope(recall, precision, protocol))
    return float(((line[1:] + line[:-1]) / 2 * np.diff(RECALLS)).sum())


def envelope(
    recall: np.ndarray, precision: np.ndarray, protocol: str
) -> tuple[np.ndarray, np.ndarray]:
    """Make precision over recall a non-increasing line from (0, 1) to (1, 0).

    After the last recall that is reached, YOLOv5's line slopes down to (1, 0); YOLOv8's drops to 0
    at once.

    Args:
        recall: [n], ascending.
        precision: [n].
        protocol: "yolov5" or "yolov8".

    Returns:
        Recalls and precisions of the line's points.
    """
    end = recall[-1:] if protocol == "yolov8" else recall[:0]
    # The first and last point are not measured; they close the curve at recall 0 and 1.
    points = np.concatenate(([0.0], recall, end, [1.0]))
    heights = np.concatenate(([1.0], precision, np.zeros(len(end) + 1)))
    return points, np.maximum.accumulate(heights[::-1])[::-1]


def moving_mean(curve: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Smooth [n] values by a moving mean over about share * n of them, with repeated ends."""
    reach = round(len(curve) * share / 2)
    window = 2 * reach + 1
    return np.convolve(np.pad(curve, reach, mode="edge"), np.full(window, 1 / window), mode="valid")


def ap_per_class(
    correct: np.ndarray,
    scores: np.ndarray,
    predicted: np.ndarray,
    labelled: np.ndarray,
    protocol: str = "yolov5",
    ignored: np.ndarray | None = None,
) -> ClassCurves:
    """Compute the curves and AP of every class that has labels.

    Args:
        correct: [n, K] bool, as match_predictions() returns it.
        scores: [n] scores of the detections, in any order.
        predicted: [n] classes of the detections.
        labelled: [m] classes of the labels.
        protocol: "yolov5" or "yolov8".
        ignored: [n, K] bool, detections that do not count at a threshold.

    Returns:
        The curves, zeros for a class without detections; without any label all arrays are empty.
    """
    counted = None if ignored is None or not ignored.any() else ~ignored
    classes, instances = np.unique(labelled, return_counts=True)
    shape = (len(classes), len(CONFIDENCES))
    ap = np.zeros((len(classes), correct.shape[1]))
    precision_curve, recall_curve, pr_curve = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, mine in enumerate(rows_of_classes(scores, predicted, classes)):
        if not len(mine):
            continue
        places = hit_places(correct[mine], None if counted is None else counted[mine])
        lines = [precision_recall(*hits, instances[row]) for hits in places]
        ap[row] = [compute_ap(recall, precision, protocol) for recall, precision in lines]
        pr_curve[row] = np.interp(CONFIDENCES, *envelope(*lines[0], protocol))
        first = mine if counted is None else mine[counted[mine, 0]]
        if len(first):
            hits = correct[first, 0].cumsum()
            falling = -scores[first]  # np.interp needs an ascending axis
            recall, precision = hits / (instances[row] + TINY), hits / np.arange(1, len(hits) + 1)
            # Above the highest score nothing is detected: recall is 0, and precision 1 by
            # convention.
            recall_curve[row] = np.interp(-CONFIDENCES, falling, recall, left=0)
            precision_curve[row] = np.interp(-CONFIDENCES, falling, precision, left=1)
    f1_curve = 2 * precision_curve * recall_curve / (precision_curve + recall_curve + TINY)
    # The mean is smoothed first, since a single peak of a jagged curve would choose the confidence
    # by chance.
    best = int(moving_mean(f1_curve.mean(0)).argmax()) if len(classes) else 0
    return ClassCurves(
        classes.astype(int), instances, ap, precision_curve, recall_curve, f1_curve, pr_curve, best
    )


def rows_of_classes(
    scores: np.ndarray, predicted: np.ndarray, classes: np.ndarray
) -> Iterator[np.ndarray]:
    """The detections of each class, by descending score.

    Equal scores keep their order, that of the images, so that AP does not depend on chance.

    Args:
        scores: [n] scores.
        predicted: [n] classes.
        classes: [C] the classes asked for, ascending.

    Yields:
        Row numbers.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[np.argsort(predicted[order], kind="stable")]
    ascending = predicted[order]
    starts, ends = (np.searchsorted(ascending, classes, side) for side in ("left", "right"))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield order[start:end]


def hit_places(correct: np.ndarray, counted: np.ndarray | None) -> Iterator[tuple[np.ndarray, int]]:
    """Of each of K thresholds: the places of the true detections among those that count.

    Args:
        correct: [n, K] bool, by descending score.
        counted: [n, K] bool, which detections count; None for all.

    Yields:
        Places from 0 on, and the number of detections that count.
    """
    for number in range(correct.shape[1]):
        column = correct[:, number]
        if counted is not None:
            column = column[counted[:, number]]
        yield np.flatnonzero(column), len(column)


def precision_recall(places: np.ndarray, count: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision along descending scores, at the rows that bend the envelope's line.

    These are the true detections and, since precision falls from one to the next, the row before
    each and the last one. Between them the line is straight, so that all other rows may be left
    out.

    Args:
        places: [h] row numbers of the true detections, ascending.
        count: The number of detections.
        labels: The number of labels.

    Returns:
        Recall and precision at these rows; both are empty without detections.
    """
    rows = np.unique(np.concatenate((places, places - 1, [count - 1])))
    rows = rows[rows >= 0]
    hits = np.searchsorted(places, rows, side="right")
    return hits / (labels + TINY), hits / (rows + 1)
