"""Precision, recall and mAP from the detections and labels of all images.

evaluate.py adds every image to an Evaluation and asks it for Metrics at the end;
engine/drawing/curves.py draws the curves. Scores follow the rule of YOLOv5 or of YOLOv8. The two
differ in how detections are matched with labels and in the end of the precision-recall curve, so
their scores must not be compared with each other. COCO's protocol, a third one, is in
engine/evaluation/coco.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch

from engine.evaluation.confusion import ConfusionMatrix
from engine.evaluation.matching import IOU_THRESHOLDS, match_predictions
from engine.evaluation.unscored import find_unscored
from utils.structures import ClassCurves, ClassMetrics, EvaluationDetails, Metrics

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


class ScoreLine(NamedTuple):
    """Recall and precision of a class [n] along descending scores, and which detections count."""

    rows: np.ndarray | slice
    recall: np.ndarray
    precision: np.ndarray


def along_scores(correct: np.ndarray, labels: int, counted: np.ndarray | None) -> list[ScoreLine]:
    """Recall and precision of a class at each of K thresholds.

    Args:
        correct: [n, K] bool, by descending score.
        labels: The number of labels of the class.
        counted: [n, K] bool, which detections count; None for all.
    """
    hits = correct.cumsum(0)
    recall = hits / (labels + TINY)
    if counted is None:
        precision = hits / np.arange(1, len(hits) + 1)[:, None]
        every = slice(None)
        return [ScoreLine(every, recall[:, k], precision[:, k]) for k in range(hits.shape[1])]
    precision = hits / np.maximum(counted.cumsum(0), 1)
    return [
        ScoreLine(rows, recall[rows, k], precision[rows, k]) for k, rows in enumerate(counted.T)
    ]


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
    # A stable sort keeps equal scores in the order of images, so that AP does not depend on chance.
    order = np.argsort(-scores, kind="stable")
    correct, scores, predicted = correct[order], scores[order], predicted[order]
    counted = None if ignored is None or not ignored.any() else ~ignored[order]
    classes, instances = np.unique(labelled, return_counts=True)
    shape = (len(classes), len(CONFIDENCES))
    ap = np.zeros((len(classes), correct.shape[1]))
    precision_curve, recall_curve, pr_curve = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, (number, count) in enumerate(zip(classes, instances, strict=True)):
        mine = predicted == number
        if not mine.any():
            continue
        lines = along_scores(correct[mine], count, None if counted is None else counted[mine])
        ap[row] = [compute_ap(line.recall, line.precision, protocol) for line in lines]
        first = lines[0]
        falling = -scores[mine][first.rows]  # np.interp needs an ascending axis
        if not len(falling):
            continue
        # Above the highest score nothing is detected: recall is 0, and precision 1 by convention.
        recall_curve[row] = np.interp(-CONFIDENCES, falling, first.recall, left=0)
        precision_curve[row] = np.interp(-CONFIDENCES, falling, first.precision, left=1)
        pr_curve[row] = np.interp(CONFIDENCES, *envelope(first.recall, first.precision, protocol))
    f1_curve = 2 * precision_curve * recall_curve / (precision_curve + recall_curve + TINY)
    # The mean is smoothed first, since a single peak of a jagged curve would choose the confidence
    # by chance.
    best = int(moving_mean(f1_curve.mean(0)).argmax()) if len(classes) else 0
    return ClassCurves(
        classes.astype(int), instances, ap, precision_curve, recall_curve, f1_curve, pr_curve, best
    )


@dataclass
class Evaluation:
    """Collects images, then gives Metrics. Boxes are in pixels of the original images.

    detections, labels and unscored hold [n, 6], [m, 5] and [k, 6] per image, which COCO's protocol
    needs too; correct and ignored hold [n, 10] bool per image. protocol is "yolov5" or "yolov8".
    """

    class_count: int
    protocol: str = "yolov5"
    confusion: ConfusionMatrix = field(init=False)
    detections: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    correct: list[np.ndarray] = field(default_factory=list)
    unscored: list[np.ndarray] = field(default_factory=list)
    ignored: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = ConfusionMatrix(self.class_count, protocol=self.protocol)

    @property
    def images(self) -> int:
        """Number of images added so far."""
        return len(self.detections)

    def add(
        self,
        detections: torch.Tensor,
        labels: torch.Tensor,
        compared: tuple[torch.Tensor, torch.Tensor] | None = None,
        unscored: torch.Tensor | None = None,
    ) -> None:
        """Add one image.

        Args:
            detections: [n, 6] corners, score, class, by descending score.
            labels: [m, 5] class, corners.
            compared: The same detections and labels in other pixels, in which they are matched.
            unscored: [k, 6] class, corners, 1 for a crowd: objects that are not scored.
        """
        detections = detections.detach().to("cpu", torch.float32)
        labels = labels.detach().to("cpu", torch.float32)
        found, known = compared or (detections, labels)
        found = found.detach().cpu().float()
        if unscored is None or not len(unscored):
            correct = match_predictions(found, known.cpu(), protocol=self.protocol)
            self.ignored.append(np.zeros_like(correct))
        else:
            relation = find_unscored(detections, labels, unscored)
            found = found.clone()
            found[torch.from_numpy(relation.taken), 5] = -1  # no label has this class
            correct = match_predictions(found, known.cpu(), protocol=self.protocol)
            self.ignored.append(relation.ignored(correct, IOU_THRESHOLDS.numpy()))
        self.correct.append(correct)
        self.unscored.append(np.zeros((0, 6)) if unscored is None else unscored.numpy().copy())
        self.confusion.add(detections, labels, unscored)
        # A copy, since the caller may reuse the memory of a batch.
        self.detections.append(detections.numpy().copy())
        self.labels.append(labels.numpy().copy())

    def result(self, names: dict[int, str], coco: bool = False) -> Metrics:
        """Score all images added; coco=True also scores them by COCO's protocol, which is slower.

        Means run over the classes that have labels; without any label they are 0.
        """
        # The empty arrays give the shapes when there is no image.
        found = np.concatenate([*self.detections, np.zeros((0, 6), np.float32)])
        correct = np.concatenate([*self.correct, np.zeros((0, len(IOU_THRESHOLDS)), bool)])
        labelled = np.concatenate([rows[:, 0] for rows in self.labels] or [np.zeros(0)])
        ignored = np.concatenate([*self.ignored, np.zeros((0, len(IOU_THRESHOLDS)), bool)])
        curves = ap_per_class(correct, found[:, 4], found[:, 5], labelled, self.protocol, ignored)
        metrics = summarise_curves(curves, self.labels, names)
        if coco:
            from engine.evaluation.coco import evaluate_coco

            figures = evaluate_coco(self.detections, self.labels, self.class_count, self.unscored)
            metrics = with_coco(metrics, figures)
        class_ap = fill_classes(curves, metrics.map, self.class_count)
        details = EvaluationDetails(curves, self.confusion.matrix, class_ap)
        return replace(metrics, protocol=self.protocol, details=details)


def summarise_curves(
    curves: ClassCurves,
    labels: list[np.ndarray],
    names: dict[int, str],
) -> Metrics:
    """Reduce the curves to the scores at the best confidence.

    Args:
        curves: Curves of the classes that have labels.
        labels: Per image [m, 5] class, corners.
        names: Class number -> name.
    """
    ap = curves.mean_ap
    # A pass over all images for each class would take seconds for a thousand classes.
    present = [np.unique(image[:, 0]) for image in labels]
    images = np.unique(np.concatenate([*present, np.zeros(0)]), return_counts=True)[1]
    rows = tuple(
        ClassMetrics(
            class_id=int(number),
            name=names.get(int(number), str(number)),
            images=int(images[row]),
            instances=int(curves.instances[row]),
            precision=float(curves.precision[row]),
            recall=float(curves.recall[row]),
            ap50=float(curves.ap[row, 0]),
            ap=float(ap[row]),
        )
        for row, number in enumerate(curves.classes)
    )
    return Metrics(
        images=len(labels),
        instances=int(curves.instances.sum()),
        precision=_mean(curves.precision),
        recall=_mean(curves.recall),
        map50=_mean(curves.ap[:, 0]),
        map=_mean(ap),
        classes=rows,
    )


def with_coco(metrics: Metrics, figures: dict[str, float]) -> Metrics:
    """The same scores with the figures of COCO's protocol, of which none may be missing."""
    return replace(
        metrics,
        coco=figures,
        ap_small=figures["AP_small"],
        ap_medium=figures["AP_medium"],
        ap_large=figures["AP_large"],
    )


def fill_classes(curves: ClassCurves, mean: float, count: int) -> np.ndarray:
    """AP of all classes [count]; a class without labels gets the mean, as in YOLOv5."""
    values = np.full(count, mean)
    values[curves.classes] = curves.mean_ap
    return values


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
