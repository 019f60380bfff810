"""One evaluation: batches through a detector, suppression and matching to Metrics, with its charts
and files.

Batches come from data.loader, the detector from models; neither is imported. val.py and train.py
call evaluate(). Nothing is left out to save time: every image that the loader yields is scored.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.evaluation.metrics import CONFIDENCES, ClassCurves, Evaluation
from engine.evaluation.predictions import (
    COCO_CATEGORIES,
    coco_records,
    file_stems,
    save_json,
    save_labels,
)
from utils.boxes import to_original
from utils.device import autocast
from utils.families import Family
from utils.files import make_folder
from utils.nms import NMSSettings, load_operator, non_max_suppression
from utils.structures import Batch, Metrics
from utils.tables import val_header, val_table

DRAWN_BATCHES = 3
STAGES = ("preprocess", "inference", "nms")


@dataclass(frozen=True)
class EvalSettings:
    """What evaluate() does; the defaults are what training needs after an epoch.

    conf, iou, max_det: of suppression; iou None is that of the model's family. protocol: see
    engine.evaluation.metrics. single_cls: every detection counts as class 0. augment: test-time
    augmentation. precision: of the forward pass, as in utils.device. loss: called with the raw
    maps, for validation losses. area: also score by COCO's protocol, which gives AP by object size.
    verbose: a row for each class. quiet: print nothing. save_dir: folder of plots, of labels/
    (save_txt) and of json_name; without it nothing is written. sheets: how many batches are drawn
    with their labels and detections, also without plots, which draw three. names: of the classes,
    the model's own if None.
    """

    conf: float = 0.001
    iou: float | None = None
    max_det: int = 300
    protocol: str = "yolov5"
    single_cls: bool = False
    augment: bool = False
    precision: str = "fp32"
    loss: Callable[..., Any] | None = None
    area: bool = False
    verbose: bool = False
    quiet: bool = False
    plots: bool = False
    sheets: int = 0
    save_dir: Path | None = None
    save_txt: bool = False
    save_hybrid: bool = False
    save_conf: bool = False
    json_name: str = ""
    coco_categories: bool = False
    names: dict[int, str] | None = None

    def suppression(self, family: Family) -> NMSSettings:
        """What is kept of the boxes of a model."""
        iou = family.validation_iou if self.iou is None else self.iou
        return NMSSettings(self.conf, iou, self.max_det, agnostic=self.single_cls, multi_label=True)


@torch.no_grad()
def evaluate(model: nn.Module, loader: Iterable[Batch], settings: EvalSettings) -> Metrics:
    """Score model on all images of loader.

    model: as models.yolo.DetectionModel, with names and family; it is
    put into evaluation mode and back. loader: batches whose gains and pads lead from the original
    images to its pixels. Boxes are compared in pixels of the originals. The Metrics' extra holds
    shape (of the last input), class_ap [nc], curves and confusion.
    """
    sheets = DRAWN_BATCHES if settings.plots else settings.sheets
    names = settings.names or ({0: "object"} if settings.single_cls else dict(model.names))  # type: ignore[arg-type]
    examiner = Examiner(model, settings, Evaluation(len(names), settings.protocol))
    paths: list[str] = []
    with evaluating(model):
        for number, batch in enumerate(progress(loader, settings.quiet)):
            found = examiner.detect(batch)
            examiner.compare(batch, found)
            paths += batch.paths
            if settings.save_dir and number < sheets:
                image_batch(settings.save_dir, number, batch, found, names)
    metrics = examiner.metrics(names)
    if not settings.quiet:
        print(val_table(metrics, settings.verbose))
    if settings.save_dir:
        write_results(settings, examiner.evaluation, paths, examiner.sizes)
        if settings.plots:
            plot_metrics(settings.save_dir, metrics, list(names.values()))
    return metrics


class Examiner:
    """Takes batches through the model, keeping time, losses and the scores of every image."""

    def __init__(self, model: nn.Module, settings: EvalSettings, evaluation: Evaluation) -> None:
        load_operator()
        self.model, self.settings, self.evaluation = model, settings, evaluation
        self.device = next(
            (parameter.device for parameter in model.parameters()), torch.device("cpu")
        )
        self.family: Family = model.family  # type: ignore[assignment]
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.losses = torch.zeros(3)
        self.batches = 0
        self.shape: tuple[int, ...] = (0, 3, 0, 0)
        self.sizes: list[tuple[int, int]] = []

    def detect(self, batch: Batch) -> list[torch.Tensor]:
        """Detections [n, 6] corners, score, class of each image, in pixels of the batch."""
        start = self._now()
        images = batch.images.to(self.device, non_blocking=True).float().div_(255)
        if self.device.type != "mps":
            images = images.contiguous(memory_format=torch.channels_last)
        start = self._book("preprocess", start)
        with autocast(self.device, self.settings.precision):
            decoded, raw = (
                self.model(images, augment=True) if self.settings.augment else self.model(images)
            )
        start = self._book("inference", start)
        if self.settings.loss is not None and raw is not None:
            size = (images.shape[2], images.shape[3])
            maps = [level.float() for level in raw]
            self.losses += (
                self.settings.loss(maps, batch.targets.to(self.device), size)[1].float().cpu()
            )
        start = self._now()
        known = labels_of(batch) if self.settings.save_hybrid else None
        labels = [rows.to(self.device) for rows in known] if known else None
        found = non_max_suppression(
            decoded, self.family, self.settings.suppression(self.family), labels
        )
        self._book("nms", start)
        self.batches += 1
        self.shape = tuple(images.shape)
        return found

    def compare(self, batch: Batch, found: list[torch.Tensor]) -> None:
        """Match what was found with the labels, in pixels of the original images, clipped to
        them.

        YOLOv8's rule compares in pixels of the batch, where boxes may reach beyond the image.
        """
        for number, (detections, labels) in enumerate(zip(found, labels_of(batch), strict=True)):
            place = (batch.gains[number], batch.pads[number], batch.original_sizes[number])
            detections = detections.float().cpu().clone()
            if self.settings.single_cls:
                detections[:, 5] = 0
            compared = (detections, labels) if self.evaluation.protocol == "yolov8" else None
            known = torch.cat((labels[:, :1], to_original(labels[:, 1:], *place)), 1)
            self.evaluation.add(to_original(detections, *place), known, compared)
            self.sizes.append(batch.original_sizes[number])

    def metrics(self, names: dict[int, str]) -> Metrics:
        metrics = self.evaluation.result(names, coco=self.settings.area)
        pictures = max(self.evaluation.images, 1)
        return dataclasses.replace(
            metrics,
            losses=tuple((self.losses / max(self.batches, 1)).tolist()),
            speed_ms={stage: total / pictures * 1000 for stage, total in self.seconds.items()},
            extra={**metrics.extra, "shape": self.shape, "class_ap": class_ap(metrics, len(names))},
        )

    def _now(self) -> float:
        """A time at which the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _book(self, stage: str, start: float) -> float:
        now = self._now()
        self.seconds[stage] += now - start
        return now


def class_ap(metrics: Metrics, count: int) -> np.ndarray:
    """AP of all classes [count]; one without labels has the mean of the others, as YOLOv5's maps."""
    values = np.full(count, metrics.map)
    for row in metrics.classes:
        values[row.class_id] = row.ap
    return values


def labels_of(batch: Batch) -> list[torch.Tensor]:
    """The labels [m, 5] class, corners of each image, in pixels of the batch."""
    targets = batch.targets.cpu()
    return [targets[targets[:, 0] == number, 1:] for number in range(len(batch.paths))]


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in evaluation mode; afterwards as it was before."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def progress(loader: Iterable[Batch], quiet: bool) -> Iterator[Batch]:
    """The batches, under a bar that is headed by the table's columns; off a terminal only the
    heading is printed.
    """
    from tqdm import tqdm

    shown = sys.stderr.isatty() and not quiet
    if not quiet and not (shown and sys.stdout.isatty()):
        print(val_header())
    yield from tqdm(
        loader, desc=val_header(), disable=not shown, bar_format="{l_bar}{bar:10}{r_bar}"
    )


def image_batch(
    folder: Path, number: int, batch: Batch, found: list[torch.Tensor], names: dict[int, str]
) -> None:
    """val_batch*_labels.jpg and val_batch*_pred.jpg of one batch."""
    from engine.drawing.sheets import plot_detections, plot_targets

    plot_targets(folder / f"val_batch{number}_labels.jpg", batch, names)
    plot_detections(folder / f"val_batch{number}_pred.jpg", batch, found, names)


def write_results(
    settings: EvalSettings, evaluation: Evaluation, paths: list[str], sizes: list[tuple[int, int]]
) -> None:
    """labels/*.txt and the JSON of predictions, whichever the settings ask for."""
    if settings.save_dir is None or not (settings.save_txt or settings.json_name):
        return
    stems = file_stems(paths)
    if settings.save_txt:
        folder = make_folder(settings.save_dir / "labels")
        for stem, rows, size in zip(stems, evaluation.detections, sizes, strict=True):
            save_labels(folder / f"{stem}.txt", rows, size, settings.save_conf)
    if settings.json_name:
        categories = COCO_CATEGORIES if settings.coco_categories else None
        tables = zip(stems, evaluation.detections, strict=True)
        records = [
            record for stem, rows in tables for record in coco_records(rows, stem, categories)
        ]
        save_json(settings.save_dir / settings.json_name, records)


def plot_metrics(folder: Path, metrics: Metrics, names: list[str]) -> None:
    """Curves over confidence and recall, and the confusion matrix."""
    from engine.drawing.plots import plot_confusion_matrix, plot_curve

    curves: ClassCurves = metrics.extra["curves"]
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
    for stem, title, values in (("F1", "F1", curves.f1_curve), ("P", "Precision", curves.precision_curve),
                                ("R", "Recall", curves.recall_curve)):  # fmt: skip
        plot_curve(
            folder / f"{stem}_curve.png",
            CONFIDENCES,
            np.asarray(values),
            labelled,
            ("Confidence", title),
        )
    plot_confusion_matrix(folder / "confusion_matrix.png", metrics.extra["confusion"].matrix, names)
