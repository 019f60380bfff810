"""Scores of an evaluation, under the names that Ultralytics' users know.

They are made of Metrics, which has the same values under this project's names.
"""

from __future__ import annotations

from pathlib import Path

from engine.evaluation.confusion import ConfusionMatrix
from utils.structures import Metrics

AT_75 = 5  # index of IoU .75 among .5, .55 … .95


class BoxScores:
    """Scores of boxes, in 0..1.

    Attributes:
        map, map50, map75: mean average precision over the classes that have labels.
        mp, mr: mean precision and recall over these classes.
        ap_class_index: [C] numbers of these classes.
        p, r, f1, ap50, ap: [C] scores of each of them.
        all_ap: [C, 10] average precision at IoU .5, .55 … .95.
        maps: [nc] AP of all classes; a class without labels has the mean of the others.
    """

    def __init__(self, metrics: Metrics) -> None:
        curves = metrics.details.curves
        self.map, self.map50 = metrics.map, metrics.map50
        self.map75 = float(curves.ap[:, AT_75].mean()) if len(curves.ap) else 0.0
        self.mp, self.mr = metrics.precision, metrics.recall
        self.maps = metrics.details.class_ap
        self.ap_class_index = curves.classes
        self.p, self.r, self.f1 = curves.precision, curves.recall, curves.f1
        self.all_ap, self.ap, self.ap50 = curves.ap, curves.mean_ap, curves.ap[:, 0]

    def class_result(self, number: int) -> tuple[float, float, float, float]:
        """(precision, recall, AP50, AP50-95) of the number-th class in ap_class_index."""
        columns = (self.p, self.r, self.ap50, self.ap)
        precision, recall, ap50, ap = (float(column[number]) for column in columns)
        return precision, recall, ap50, ap

    def mean_results(self) -> list[float]:
        """[precision, recall, mAP50, mAP50-95], means over all classes that have labels."""
        return [self.mp, self.mr, self.map50, self.map]


class DetMetrics:
    """The result of an evaluation.

    Attributes:
        box: scores of the boxes.
        speed: milliseconds per image of preprocess, inference and postprocess.
        confusion_matrix: its matrix is [nc + 1, nc + 1], row predicted, column labelled.
        fitness: what best.pt maximises.
        names: class number -> name.
        metrics: the same result as this project's own Metrics.
        save_dir: folder of charts and files.
        notes: sentences on what a reader of the scores must know, such as images left out.
    """

    keys = ("metrics/precision(B)", "metrics/recall(B)", "metrics/mAP50(B)", "metrics/mAP50-95(B)")

    def __init__(
        self, metrics: Metrics, names: dict[int, str], save_dir: Path | None = None
    ) -> None:
        self.metrics, self.names, self.save_dir = metrics, names, save_dir
        self.box = BoxScores(metrics)
        self.maps, self.ap_class_index = self.box.maps, self.box.ap_class_index
        self.mean_results, self.class_result = self.box.mean_results, self.box.class_result
        self.fitness, self.notes = metrics.fitness, metrics.notes
        stages = {"preprocess": "preprocess", "inference": "inference", "postprocess": "nms"}
        self.speed = {name: metrics.speed_ms.get(stage, 0.0) for name, stage in stages.items()}
        # The counts are already final, so they replace those of a new matrix.
        counts = metrics.details.confusion
        self.confusion_matrix = ConfusionMatrix(len(counts) - 1, protocol=metrics.protocol)
        self.confusion_matrix.matrix = counts

    @property
    def results_dict(self) -> dict[str, float]:
        """The mean scores and the fitness by Ultralytics' names."""
        return {
            **dict(zip(self.keys, self.box.mean_results(), strict=True)),
            "fitness": self.fitness,
        }

    def __repr__(self) -> str:
        values = ", ".join(f"{name} {value:.4g}" for name, value in self.results_dict.items())
        return f"DetMetrics({values})"
