"""Evaluation: detections and labels of all images -> precision, recall, mAP, by the rule of
YOLOv5 or of YOLOv8.

val.py adds every image to an Evaluation, in pixels of the original images, and asks it for
Metrics at the end; engine/drawing/plots.py draws the curves in Metrics.extra. COCO's protocol,
which differs from both, is engine/evaluation/coco.py. The two rules differ in the matching and in
the end of the curve, so figures of one must not be held against the other's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from engine.evaluation.confusion import ConfusionMatrix
from utils.boxes import box_iou
from utils.structures import ClassMetrics, Metrics

IOU_THRESHOLDS = torch.linspace(0.5, 0.95, 10)
CONFIDENCES = np.linspace(0, 1, 1000)  # the x axis of the curves
RECALLS = np.linspace(0, 1, 101)  # where precision is read for AP
PROTOCOLS = ("yolov5", "yolov8")
TINY = 1e-16


def match_predictions(
    detections: torch.Tensor,
    labels: torch.Tensor,
    ious: torch.Tensor = IOU_THRESHOLDS,
    protocol: str = "yolov5",
) -> np.ndarray:
    """Which detections are right, at each of K IoU thresholds.

    detections: [n, 6] corners, score, class, best first. labels: [m, 5] class, corners in the same
    pixels. ious: [K] ascending. Returns bool [n, K]. yolov5: a detection stands for the label of
    its class that it overlaps most (the first of equals), for no other; of several that stand for
    one label the first in the list is right, not the one that overlaps most. yolov8: each detection
    in turn takes the label that it overlaps most of those still free.
    """
    correct = np.zeros((len(detections), len(ious)), dtype=bool)
    if not len(detections) or not len(labels):
        return correct
    overlap = box_iou(labels[:, 1:5], detections[:, :4])
    overlap = torch.where(labels[:, :1] == detections[:, 5], overlap, overlap.new_zeros(()))
    if protocol == "yolov8":
        return match_in_turn(overlap.cpu().numpy().T, ious.cpu().numpy())
    best, label = (column.cpu().numpy() for column in overlap.max(0))
    for number, bound in enumerate(ious.cpu().numpy()):
        reaching = np.flatnonzero(best >= bound)
        _, first = np.unique(label[reaching], return_index=True)
        correct[reaching[first], number] = True
    return correct


def match_in_turn(overlap: np.ndarray, ious: np.ndarray) -> np.ndarray:
    """Overlaps [n, m] of detections, best first, with labels of their class, and bounds [K] ->
    which are right [n, K].

    At each bound a detection takes the free label that it overlaps most, if by the bound at least.
    """
    correct = np.zeros((len(overlap), len(ious)), dtype=bool)
    taken = np.zeros((len(ious), overlap.shape[1]), dtype=bool)
    for number in np.flatnonzero(overlap.max(1) >= ious.min()):
        offered = np.where(taken, -1, overlap[number])
        best = offered.argmax(1)
        reaching = np.flatnonzero(offered.max(1) >= ious)
        correct[number, reaching] = taken[reaching, best[reaching]] = True
    return correct


def compute_ap(recall: np.ndarray, precision: np.ndarray, protocol: str = "yolov5") -> float:
    """Average precision of one class at one IoU threshold.

    recall, precision: [n] along descending scores, recall ascending. The line of envelope() is
    integrated by trapezoids between 101 points.
    """
    line = np.interp(RECALLS, *envelope(recall, precision, protocol))
    return float(((line[1:] + line[:-1]) / 2 * np.diff(RECALLS)).sum())


def envelope(
    recall: np.ndarray, precision: np.ndarray, protocol: str
) -> tuple[np.ndarray, np.ndarray]:
    """Precision over recall as a line from (0, 1) to (1, 0), made non-increasing from the right:
    its points.

    After the last recall reached, YOLOv5's line slopes down to (1, 0); YOLOv8's drops to 0 at once.
    """
    end = recall[-1:] if protocol == "yolov8" else recall[:0]
    points = np.concatenate(([0.0], recall, end, [1.0]))
    heights = np.concatenate(([1.0], precision, np.zeros(len(end) + 1)))
    return points, np.maximum.accumulate(heights[::-1])[::-1]


def smooth(curve: np.ndarray, share: float = 0.1) -> np.ndarray:
    """Moving mean of [n] values over a window of about `share` times n, the ends repeated: [n]."""
    reach = round(len(curve) * share / 2)
    window = 2 * reach + 1
    return np.convolve(np.pad(curve, reach, mode="edge"), np.full(window, 1 / window), mode="valid")


@dataclass(frozen=True, slots=True)
class ClassCurves:
    """Figures of the C classes that have labels.

    classes: [C] class numbers, ascending. instances: [C] labels of each. ap: [C, K] of each IoU
    threshold. precision_curve, recall_curve, f1_curve: [C, 1000] at IoU .5 over CONFIDENCES.
    pr_curve: [C, 1000] precision over recall 0..1. best: index into CONFIDENCES where the smoothed
    mean F1 is highest.
    """

    classes: np.ndarray
    instances: np.ndarray
    ap: np.ndarray
    precision_curve: np.ndarray
    recall_curve: np.ndarray
    f1_curve: np.ndarray
    pr_curve: np.ndarray
    best: int

    @property
    def precision(self) -> np.ndarray:
        return self.precision_curve[:, self.best]

    @property
    def recall(self) -> np.ndarray:
        return self.recall_curve[:, self.best]

    @property
    def f1(self) -> np.ndarray:
        return self.f1_curve[:, self.best]

    @property
    def true_positives(self) -> np.ndarray:
        return (self.recall * self.instances).round()

    @property
    def false_positives(self) -> np.ndarray:
        return (self.true_positives / (self.precision + TINY) - self.true_positives).round()


def ap_per_class(
    correct: np.ndarray,
    scores: np.ndarray,
    predicted: np.ndarray,
    labelled: np.ndarray,
    protocol: str = "yolov5",
) -> ClassCurves:
    """Curves and AP of every class that has labels.

    correct: bool [n, K] of match_predictions. scores, predicted: [n] score and class of the
    detections, in any order. labelled: [m] class of every label. A class without detections has
    zeros; without any label all arrays are empty.
    """
    order = np.argsort(-scores, kind="stable")
    correct, scores, predicted = correct[order], scores[order], predicted[order]
    classes, instances = np.unique(labelled, return_counts=True)
    shape = (len(classes), len(CONFIDENCES))
    ap = np.zeros((len(classes), correct.shape[1]))
    precision_curve, recall_curve, pr_curve = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, (number, count) in enumerate(zip(classes, instances, strict=True)):
        mine = predicted == number
        if not mine.any():
            continue
        hits = correct[mine].cumsum(0)
        recall = hits / (count + TINY)
        precision = hits / np.arange(1, len(hits) + 1)[:, None]
        falling = -scores[mine]  # np.interp wants an ascending axis
        recall_curve[row] = np.interp(-CONFIDENCES, falling, recall[:, 0], left=0)
        precision_curve[row] = np.interp(-CONFIDENCES, falling, precision[:, 0], left=1)
        ap[row] = [compute_ap(recall[:, k], precision[:, k], protocol) for k in range(ap.shape[1])]
        pr_curve[row] = np.interp(CONFIDENCES, *envelope(recall[:, 0], precision[:, 0], protocol))
    f1_curve = 2 * precision_curve * recall_curve / (precision_curve + recall_curve + TINY)
    best = int(smooth(f1_curve.mean(0)).argmax()) if len(classes) else 0
    return ClassCurves(
        classes.astype(int), instances, ap, precision_curve, recall_curve, f1_curve, pr_curve, best
    )


@dataclass
class Evaluation:
    """Collects images, then gives Metrics. Everything is in pixels of the original images.

    class_count: number of classes. protocol: one of PROTOCOLS. images: images added so far.
    detections, labels: per image [n, 6] and [m, 5], kept for COCO's protocol. correct: per
    image bool [n, 10].
    """

    class_count: int
    protocol: str = "yolov5"
    confusion: ConfusionMatrix = field(init=False)
    detections: list[np.ndarray] = field(default_factory=list)
    labels: list[np.ndarray] = field(default_factory=list)
    correct: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.confusion = ConfusionMatrix(self.class_count, protocol=self.protocol)

    @property
    def images(self) -> int:
        return len(self.detections)

    def add(
        self,
        detections: torch.Tensor,
        labels: torch.Tensor,
        compared: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> None:
        """Take one image: detections [n, 6] corners, score, class, best first; labels [m, 5]
        class, corners.

        compared: the two in other pixels, in which they are matched.
        """
        detections = detections.detach().to("cpu", torch.float32)
        labels = labels.detach().to("cpu", torch.float32)
        found, known = compared or (detections, labels)
        self.correct.append(
            match_predictions(found.detach().cpu().float(), known.cpu(), protocol=self.protocol)
        )
        self.confusion.add(detections, labels)
        self.detections.append(detections.numpy().copy())
        self.labels.append(labels.numpy().copy())

    def result(self, names: dict[int, str], coco: bool = False) -> Metrics:
        """Metrics over all images added; coco=True also scores them by COCO's protocol (slower).

        Means run over the classes that have labels; with no labels at all they are 0.
        extra: curves (ClassCurves) and confusion (ConfusionMatrix).
        """
        found = np.concatenate([*self.detections, np.zeros((0, 6), np.float32)])
        correct = np.concatenate([*self.correct, np.zeros((0, len(IOU_THRESHOLDS)), bool)])
        labelled = np.concatenate([rows[:, 0] for rows in self.labels] or [np.zeros(0)])
        curves = ap_per_class(correct, found[:, 4], found[:, 5], labelled, self.protocol)
        figures = {}
        if coco:
            from engine.evaluation.coco import evaluate_coco

            figures = evaluate_coco(self.detections, self.labels, self.class_count)
        extra = {"curves": curves, "confusion": self.confusion}
        return replace(
            summarise(curves, self.labels, names, figures, extra), protocol=self.protocol
        )


def summarise(
    curves: ClassCurves,
    labels: list[np.ndarray],
    names: dict[int, str],
    coco: dict[str, float] | None = None,
    extra: dict[str, object] | None = None,
) -> Metrics:
    """Curves, the labels [m, 5] of every image, class names and COCO's figures -> Metrics."""
    coco = coco or {}
    ap = curves.ap.mean(1) if len(curves.ap) else np.zeros(0)
    rows = tuple(
        ClassMetrics(
            class_id=int(number),
            name=names.get(int(number), str(number)),
            images=sum(bool((image[:, 0] == number).any()) for image in labels),
            instances=int(curves.instances[row]),
            precision=float(curves.precision[row]),
            recall=float(curves.recall[row]),
            ap50=float(curves.ap[row, 0]),
            ap=float(ap[row]),
        )
        for row, number in enumerate(curves.classes)
    )
    nan = float("nan")
    return Metrics(
        images=len(labels),
        instances=int(curves.instances.sum()),
        precision=_mean(curves.precision),
        recall=_mean(curves.recall),
        map50=_mean(curves.ap[:, 0]),
        map=_mean(ap),
        classes=rows,
        ap_small=coco.get("AP_small", nan),
        ap_medium=coco.get("AP_medium", nan),
        ap_large=coco.get("AP_large", nan),
        coco=coco,
        extra=extra or {},
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
