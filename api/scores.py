"""Scores of an evaluation, under the names that Ultralytics' users know.

They are made of Metrics, which has the same values under this project's names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from api.tables import Tables
from engine.evaluation.confusion import ConfusionMatrix
from utils.structures import Metrics

AT_75 = 5  # index of IoU .75 among .5, .55 … .95
CURVES = (  # name of the values, of the x-axis, of the y-axis
    ("prec_values", "Recall", "Precision"),
    ("f1_curve", "Confidence", "F1"),
    ("p_curve", "Confidence", "Precision"),
    ("r_curve", "Confidence", "Recall"),
)
ScoreRow = dict[str, Any]  # one row of a table: text, counts and scores


class BoxScores:
    """Scores of boxes, in 0..1.

    Attributes:
        map, map50, map75: mean average precision over the classes that have labels.
        mp, mr: mean precision and recall over these classes.
        ap_class_index: [C] numbers of these classes.
        p, r, f1, ap50, ap: [C] scores of each of them.
        all_ap: [C, 10] average precision at IoU .5, .55 … .95.
        maps: [nc] AP of all classes; a class without labels has the mean of the others.
        nc: number of the classes that have labels.
        px: [1000] positions in 0..1 at which curves are given: recall for prec_values, confidence
            for the others.
        prec_values, p_curve, r_curve, f1_curve: [C, 1000] precision over recall, and precision,
            recall and F1 over the confidence, at IoU .5.
        curves: the names of these four curves.
    """

    curves = (
        "Precision-Recall(B)",
        "F1-Confidence(B)",
        "Precision-Confidence(B)",
        "Recall-Confidence(B)",
    )

    def __init__(self, metrics: Metrics) -> None:
        curves = metrics.details.curves
        self.map, self.map50 = metrics.map, metrics.map50
        self.map75 = float(curves.ap[:, AT_75].mean()) if len(curves.ap) else 0.0
        self.mp, self.mr = metrics.precision, metrics.recall
        self.maps = metrics.details.class_ap
        self.ap_class_index = curves.classes
        self.p, self.r, self.f1 = curves.precision, curves.recall, curves.f1
        self.all_ap, self.ap, self.ap50 = curves.ap, curves.mean_ap, curves.ap[:, 0]
        self.nc, self.px = len(curves.classes), np.linspace(0, 1, curves.pr_curve.shape[1])
        self.prec_values, self.f1_curve = curves.pr_curve, curves.f1_curve
        self.p_curve, self.r_curve = curves.precision_curve, curves.recall_curve

    @property
    def curves_results(self) -> list[list[Any]]:
        """[positions [1000], values [C, 1000], name of the x-axis, of the y-axis] of each curve."""
        return [[self.px, getattr(self, values), *axes] for values, *axes in CURVES]

    def class_result(self, number: int) -> tuple[float, float, float, float]:
        """(precision, recall, AP50, AP50-95) of the number-th class in ap_class_index."""
        columns = (self.p, self.r, self.ap50, self.ap)
        precision, recall, ap50, ap = (float(column[number]) for column in columns)
        return precision, recall, ap50, ap

    def mean_results(self) -> list[float]:
        """[precision, recall, mAP50, mAP50-95], means over all classes that have labels."""
        return [self.mp, self.mr, self.map50, self.map]


class Confusion(ConfusionMatrix, Tables):
    """A finished confusion matrix that knows the names of its classes."""

    def __init__(self, counts: np.ndarray, names: dict[int, str], protocol: str) -> None:
        """counts is [nc + 1, nc + 1], row predicted, column labelled, background last."""
        super().__init__(len(counts) - 1, protocol=protocol)
        self.matrix, self.names = counts, names

    def summary(self, normalize: bool = False, decimals: int = 5) -> list[ScoreRow]:
        """A row for each predicted class, with the counts of each labelled class.

        With normalize, the counts are shares of the labelled class.
        """
        values = (self.normalised() if normalize else self.matrix).round(decimals).tolist()
        names = [self.names.get(number, str(number)) for number in range(self.class_count)]
        # Classes may share a name, which the keys of a row must not.
        keys = _each_once([*names, "background"])
        return [
            {"Predicted": name, **dict(zip(keys, row, strict=True))}
            for name, row in zip([*names, "background"], values, strict=True)
        ]


class DetMetrics(Tables):
    """The result of an evaluation, whose tables have a row for each class with labels.

    Attributes:
        box: scores of the boxes.
        speed: milliseconds per image of preprocess, inference and postprocess.
        confusion_matrix: its matrix is [nc + 1, nc + 1], row predicted, column labelled.
        fitness: what best.pt maximises.
        names: class number -> name.
        nt_per_class, nt_per_image: [nc] numbers of labels, and of images with a label.
        curves, curves_results: names and values of the curves, see BoxScores.
        metrics: the same result as this project's own Metrics.
        save_dir: folder of charts and files.
        notes: sentences on what a reader of the scores must know, such as images left out.
    """

    task = "detect"
    columns = (
        *("Class", "Images", "Instances", "Box-P", "Box-R", "Box-F1"),
        *("mAP50", "mAP75", "mAP50-95"),
    )
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
        self.curves, self.curves_results = self.box.curves, self.box.curves_results
        counts = metrics.details.confusion
        self.confusion_matrix = Confusion(counts, names, metrics.protocol)
        self.nt_per_class = np.zeros(len(counts) - 1, int)
        self.nt_per_image = np.zeros(len(counts) - 1, int)
        for row in metrics.classes:
            self.nt_per_class[row.class_id] = row.instances
            self.nt_per_image[row.class_id] = row.images

    def summary(self, normalize: bool = True, decimals: int = 5) -> list[ScoreRow]:
        """List counts and scores of each class; `normalize` has no effect, as in Ultralytics."""
        box = self.box
        scores = np.stack([box.p, box.r, box.f1, box.ap50, box.all_ap[:, AT_75], box.ap], 1)
        return [
            dict(zip(self.columns, (row.name, row.images, row.instances, *values), strict=True))
            for row, values in zip(
                self.metrics.classes, scores.round(decimals).tolist(), strict=True
            )
        ]

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


def _each_once(names: list[str]) -> list[str]:
    """The names, with its number behind one that stands before."""
    return [
        f"{name} ({number})" if name in names[:number] else name
        for number, name in enumerate(names)
    ]
