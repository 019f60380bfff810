"""Files of an evaluation: label files and JSON of the detections, contact sheets, curves.

evaluate.py passes what it has collected. predictions.py and engine/drawing write the files; the
latter is imported only when something is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from data.formats.coco_ids import CocoIds
from engine.evaluation.average_precision import CONFIDENCES
from engine.evaluation.predictions import (
    COCO_CATEGORIES,
    coco_records,
    file_stems,
    image_ids,
    save_json,
    save_labels,
)
from utils.files import make_folder
from utils.structures import Batch, Metrics
from utils.writing import Unwritten


@dataclass(frozen=True)
class ResultFiles:
    """Which files of detections are written.

    Attributes:
        labels: Write labels/*.txt.
        confidences: Add the confidence to the rows of labels/*.txt.
        json_name: File for all detections in COCO's result format, "" for none.
        coco_categories: Use the category numbers of COCO's own files in that file instead of class
            numbers.
        unwritten: Collects the files that cannot be written for a reason of their own.
        ids: The ids of images and classes to use instead of both.
    """

    labels: bool = False
    confidences: bool = False
    json_name: str = ""
    coco_categories: bool = False
    unwritten: Unwritten = field(default_factory=Unwritten)
    ids: CocoIds | None = None

    def write(
        self,
        folder: Path,
        paths: Sequence[str],
        detections: Sequence[np.ndarray],
        sizes: Sequence[tuple[int, int]],
    ) -> None:
        """Write the files into a run's folder.

        Args:
            folder: The run's folder.
            paths: Paths of the images.
            detections: Per image [n, 6] corners in its own pixels, score, class.
            sizes: (height, width) of the images in pixels.
        """
        # Images of one name from several folders must not overwrite each other's results.
        stems = file_stems(paths)
        if self.labels:
            label_folder = make_folder(folder / "labels")
            for stem, rows, size in zip(stems, detections, sizes, strict=True):
                with self.unwritten.allowed():
                    save_labels(label_folder / f"{stem}.txt", rows, size, self.confidences)
        if self.json_name:
            keys = self.ids.images if self.ids else image_ids(stems)
            numbers = COCO_CATEGORIES if self.coco_categories else None
            categories = self.ids.categories if self.ids else numbers
            records = [
                record
                for key, rows in zip(keys, detections, strict=True)
                for record in coco_records(rows, key, categories)
            ]
            save_json(folder / self.json_name, records)


def draw_validation_batch(
    folder: Path, number: int, batch: Batch, found: list[Tensor], names: dict[int, str]
) -> None:
    """Draw val_batchN_labels.jpg and val_batchN_pred.jpg.

    Args:
        folder: The run's folder.
        number: The batch's number, N.
        batch: Images and labels.
        found: Per image [n, 6] corners in pixels of the batch, score, class.
        names: Class number -> name.
    """
    from engine.drawing.sheets import plot_detections, plot_targets

    plot_targets(folder / f"val_batch{number}_labels.jpg", batch, names)
    plot_detections(folder / f"val_batch{number}_pred.jpg", batch, found, names)


def plot_metrics(folder: Path, metrics: Metrics, names: list[str]) -> None:
    """Draw the curves over confidence and recall, and the confusion matrix.

    Args:
        folder: The run's folder.
        metrics: The scores with their details.
        names: Names of all classes, in the order of their numbers.
    """
    from engine.drawing.curves import plot_confusion_matrix, plot_curve

    curves = metrics.details.curves
    labelled = [row.name for row in metrics.classes]
    scored = [f"{row.name} {row.ap50:.3f}" for row in metrics.classes]
    plot_curve(
        folder / "PR_curve.png",
        CONFIDENCES,
        curves.pr_curve,
        scored,
        ("Recall", "Precision"),
        f"{metrics.map50:.3f} mAP50",
    )
    by_confidence = {
        "F1": ("F1", curves.f1_curve),
        "P": ("Precision", curves.precision_curve),
        "R": ("Recall", curves.recall_curve),
    }
    for stem, (title, values) in by_confidence.items():
        path = folder / f"{stem}_curve.png"
        plot_curve(path, CONFIDENCES, values, labelled, ("Confidence", title))
    plot_confusion_matrix(folder / "confusion_matrix.png", metrics.details.confusion, names)
