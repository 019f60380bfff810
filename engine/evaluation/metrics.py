"""Precision, recall and mAP from the detections and labels of all images.

evaluate.py adds every image to an Evaluation and asks it for Metrics at the end;
engine/drawing/curves.py draws the curves. Scores follow the rule of YOLOv5 or of YOLOv8. The two
differ in how detections are matched with labels and in the end of the precision-recall curve, so
their scores must not be compared with each other. COCO's protocol, a third one, is in
engine/evaluation/coco.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from engine.evaluation.average_precision import ap_per_class
from engine.evaluation.confusion import ConfusionMatrix
from engine.evaluation.error_kinds import error_costs, judge
from engine.evaluation.matching import IOU_THRESHOLDS, Rows, as_floats, match_predictions
from engine.evaluation.unscored import find_unscored
from utils.boxes import box_iou_array
from utils.structures import ClassCurves, ClassMetrics, EvaluationDetails, Metrics

NOTHING_UNSCORED = np.zeros((0, 6), np.float32)


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
        detections: Rows,
        labels: Rows,
        compared: tuple[Rows, Rows] | None = None,
        unscored: Rows | None = None,
    ) -> None:
        """Add one image. The arrays are kept, so the caller must not change them.

        Args:
            detections: [n, 6] corners, score, class, by descending score.
            labels: [m, 5] class, corners.
            compared: The same detections and labels in other pixels, in which they are matched.
            unscored: [k, 6] class, corners, 1 for a crowd: objects that are not scored.
        """
        detections, labels = as_floats(detections), as_floats(labels)
        overlap = box_iou_array(labels[:, 1:5], detections[:, :4])
        found, known = map(as_floats, compared) if compared else (detections, labels)
        # In other pixels the overlap is another one, since boxes there are not clipped.
        shared = None if compared else overlap
        if unscored is None or not len(unscored):
            correct = match_predictions(found, known, protocol=self.protocol, overlap=shared)
            self.ignored.append(np.zeros_like(correct))
            self.unscored.append(NOTHING_UNSCORED)
        else:
            unscored = as_floats(unscored)
            relation = find_unscored(detections, labels, unscored)
            found = found.copy()
            found[relation.taken, 5] = -1  # no label has this class
            correct = match_predictions(found, known, protocol=self.protocol, overlap=shared)
            self.ignored.append(relation.ignored(correct, IOU_THRESHOLDS))
            self.unscored.append(unscored)
        self.correct.append(correct)
        self.confusion.add(detections, labels, unscored, overlap)
        self.detections.append(detections)
        self.labels.append(labels)

    def result(self, names: dict[int, str], coco: bool = False, errors: bool = False) -> Metrics:
        """Score all images added; coco=True also scores them by COCO's protocol, which is slower.

        errors=True also finds the kinds of errors, by engine/evaluation/error_kinds.py.

        Means run over the classes that have labels; without any label they are 0.
        """
        # The empty arrays give the shapes when there is no image.
        found = np.concatenate([*self.detections, np.zeros((0, 6), np.float32)])
        correct = np.concatenate([*self.correct, np.zeros((0, len(IOU_THRESHOLDS)), bool)])
        labelled = np.concatenate([rows[:, 0] for rows in self.labels] or [np.zeros(0)])
        ignored = np.concatenate(self.ignored) if any(map(len, self.unscored)) else None
        curves = ap_per_class(correct, found[:, 4], found[:, 5], labelled, self.protocol, ignored)
        metrics = summarise_curves(curves, self.labels, names)
        if coco:
            from engine.evaluation.coco import evaluate_coco

            figures = evaluate_coco(self.detections, self.labels, self.class_count, self.unscored)
            metrics = with_coco(metrics, figures)
        class_ap = fill_classes(curves, metrics.map, self.class_count)
        details = EvaluationDetails(curves, self.confusion.matrix, class_ap, self._errors(errors))
        return replace(metrics, protocol=self.protocol, details=details)

    def _errors(self, wanted: bool) -> dict[str, tuple[int, float]]:
        """Kind of error -> how often it occurs and what it costs in mAP50; {} if not wanted."""
        if not wanted:
            return {}
        judged = judge(self.detections, self.labels, self.correct, self.ignored)
        return {name: (count, cost) for name, count, cost in error_costs(judged, self.protocol)}


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
    images = images_per_class(labels)
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


def images_per_class(labels: list[np.ndarray]) -> np.ndarray:
    """The number of images with a label of each class that occurs: [C], by ascending class."""
    # A pass over all images for each class would take seconds for a thousand classes.
    classes = np.concatenate([*[rows[:, 0] for rows in labels], np.zeros(0)]).astype(int)
    count = int(classes.max(initial=0)) + 1
    numbers = np.repeat(np.arange(len(labels)), [len(rows) for rows in labels])
    return np.unique(np.unique(numbers * count + classes) % count, return_counts=True)[1]


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
