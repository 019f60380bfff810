"""One evaluation: from batches through the detector, suppression and matching to Metrics.

The caller makes the batches (data.loader) and the detector (models). val.py and train.py call
evaluate(). Every image that the loader yields is scored; none is skipped to save time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.failures import lost_sentence
from data.formats.coco_ids import CocoIds
from engine.detector_model import DetectorModel, device_of, evaluation_mode, synchronised_time
from engine.evaluation.batch_rows import by_image, in_originals, labels_of, on_host, per_image
from engine.evaluation.matching import as_floats
from engine.evaluation.metrics import Evaluation
from engine.evaluation.notes import result_notes, settings_notes
from engine.evaluation.outputs import ResultFiles, draw_validation_batch, plot_metrics
from engine.evaluation.progress import with_progress_bar
from engine.evaluation.swapped import swapped_notes
from engine.parts import Parts, usual_part
from models.losses import Loss
from utils.device import autocast, layout_of
from utils.families import Family
from utils.nms import NMSSettings, load_operator, non_max_suppression
from utils.structures import Batch, Metrics
from utils.tables import val_table
from utils.writing import Unwritten

DRAWN_BATCHES = 3
STAGES = ("preprocess", "inference", "nms")
Scored = tuple[Batch, list[Tensor]]  # with the detections of each image, as detect() gives them
# From this process's evaluator and its batches to those of all processes.
Exchange = Callable[["Evaluator", Iterable[Scored]], Iterable[Scored]]


@dataclass(frozen=True)
class EvalSettings:
    """The options of evaluate(); the defaults suit the validation after a training epoch.

    Attributes:
        conf: Lowest score of a detection.
        iou: IoU above which suppression drops a box; None takes the default of the model's family.
        max_det: Most detections per image.
        protocol: "yolov5" or "yolov8", the rule for AP.
        single_cls: Count every detection as class 0.
        augment: Use test-time augmentation.
        precision: Precision of the forward pass, as in utils.device.
        loss: Called with the raw maps, for validation losses.
        area: Also score by COCO's protocol, which gives AP by object size.
        errors: Also find the kinds of errors, and what each costs.
        verbose: Print a row for each class.
        quiet: Print nothing.
        plots: Draw curves, the confusion matrix and three batches.
        sheets: Number of batches to draw when plots is off.
        save_dir: Folder for all files; without it nothing is written.
        save_txt: Write labels/*.txt.
        save_hybrid: Add the labels to the detections.
        save_conf: Add the confidence to the rows of labels/*.txt.
        json_name: File for all detections in COCO's result format, "" for none.
        coco_categories: Use the category numbers of COCO's own files in that file.
        unwritten: Collects the label files that cannot be written for a reason of their own.
        ids: The ids of a COCO JSON data set, which that file uses.
        names: Class number -> name; None takes the model's own.
        exchange: Where several processes score a share of the batches each, gives those of all.
        parts: Runs batches in parts where the memory is too small, and remembers their size.
    """

    conf: float = 0.001
    iou: float | None = None
    max_det: int = 300
    protocol: str = "yolov5"
    single_cls: bool = False
    augment: bool = False
    precision: str = "fp32"
    loss: Loss | None = None
    area: bool = False
    errors: bool = False
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
    ids: CocoIds | None = None
    names: dict[int, str] | None = None
    unwritten: Unwritten = field(default_factory=Unwritten)
    exchange: Exchange | None = None
    parts: Parts = field(default_factory=Parts)

    def suppression(self, family: Family) -> NMSSettings:
        """The settings of suppression for a model of this family."""
        iou = family.validation_iou if self.iou is None else self.iou
        return NMSSettings(self.conf, iou, self.max_det, agnostic=self.single_cls, multi_label=True)

    def class_names(self, model: DetectorModel) -> dict[int, str]:
        """The class names that this evaluation of the model uses."""
        return self.names or ({0: "object"} if self.single_cls else dict(model.names))


@torch.no_grad()
def evaluate(model: DetectorModel, loader: Iterable[Batch], settings: EvalSettings) -> Metrics:
    """Score a model on all images of a loader.

    Boxes are compared in pixels of the original images. An image that could not be read counts with
    its labels, as one in which nothing was found, and a note says so.

    Args:
        model: The detector; its mode is set to evaluation, and restored at the end.
        loader: Batches whose gains and pads map the original images to the batch's pixels.
        settings: Thresholds, outputs and the protocol.

    Returns:
        Scores, losses, times and details.

    Raises:
        UserError: More images cannot be read than a result may lack.
    """
    sheets = DRAWN_BATCHES if settings.plots else settings.sheets
    names = settings.class_names(model)
    evaluator = Evaluator(model, settings, Evaluation(len(names), settings.protocol))
    paths, drawn = list[str](), list[Future[None]]()
    # Sheets are drawn beside the network; no thread is started without one.
    with ThreadPoolExecutor(1) as artist, evaluation_mode(model):
        batches = with_progress_bar(loader, settings.quiet)
        scored: Iterable[Scored] = ((batch, evaluator.detect(batch)) for batch in batches)
        if settings.exchange is not None:
            scored = settings.exchange(evaluator, scored)
        for number, (batch, found) in enumerate(scored):
            evaluator.compare(batch, found)
            paths += batch.paths
            if settings.save_dir and number < sheets:
                place = (settings.save_dir, number)
                drawn.append(artist.submit(draw_validation_batch, *place, batch, found, names))
    for sheet in drawn:
        sheet.result()  # it raises the error of a sheet that could not be written
    metrics = evaluator.metrics(names)
    if not settings.quiet:
        print(val_table(metrics, settings.verbose))
    if settings.save_dir:
        files = ResultFiles(
            settings.save_txt, settings.save_conf, settings.json_name, settings.coco_categories,
            settings.unwritten, settings.ids,
        )  # fmt: skip
        files.write(settings.save_dir, paths, evaluator.evaluation.detections, evaluator.sizes)
        if settings.plots:
            plot_metrics(settings.save_dir, metrics, list(names.values()))
    return metrics


class Evaluator:
    """Runs batches through a model and collects times, losses and the matches of every image."""

    def __init__(
        self, model: DetectorModel, settings: EvalSettings, evaluation: Evaluation
    ) -> None:
        # The import takes seconds, which would be counted as the first batch's time.
        load_operator()
        self.model, self.settings, self.evaluation = model, settings, evaluation
        self.device = device_of(model)
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.terms: list[Tensor] = []
        self.batches = 0
        self.input_shape: tuple[int, ...] = (0, 3, 0, 0)
        self.sizes: list[tuple[int, int]] = []
        self.lost: dict[str, str] = {}

    def detect(self, batch: Batch) -> list[Tensor]:
        """Find objects: per image [n, 6] corners in pixels of the batch, score, class."""
        known = labels_of(batch) if self.settings.save_hybrid else None
        size = (batch.images.shape[2], batch.images.shape[3])

        def detect_part(places: slice) -> tuple[list[Tensor], list[Tensor]]:
            return self._detect_part(batch.images[places], known[places] if known else None)

        count = len(batch.images)
        parts = self.settings.parts.run(detect_part, count, usual_part(count, size, self.device))
        if self.settings.loss is not None and all(maps for _, maps in parts):
            levels = zip(*(maps for _, maps in parts), strict=True)
            maps = [torch.cat(level) if len(level) > 1 else level[0] for level in levels]
            targets = batch.targets.to(self.device, non_blocking=True)
            _, terms = self.settings.loss(maps, targets, size)
            self.terms.append(terms.float())  # on the device, since a copy makes the host wait
        self.batches += 1
        self.input_shape = (-(-count // len(parts)), *batch.images.shape[1:])  # of a part
        return [rows for found, _ in parts for rows in found]

    def _detect_part(
        self, pixels: Tensor, known: list[Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Detections of some of a batch's images, and their raw maps if there is a loss."""
        start = synchronised_time(self.device)
        images = pixels.to(self.device, non_blocking=True).float().div_(255)
        images = images.contiguous(memory_format=layout_of(self.device))
        start = self._add_time("preprocess", start)
        with autocast(self.device, self.settings.precision):
            augment = {"augment": True} if self.settings.augment else {}
            decoded, raw = self.model(images, **augment)
        start = self._add_time("inference", start)
        # The loss needs float32, since in half precision the sum over all cells could overflow.
        maps = [level.float() for level in raw or ()] if self.settings.loss is not None else []
        labels = [rows.to(self.device) for rows in known] if known else None
        settings = self.settings.suppression(self.model.family)
        found = on_host(non_max_suppression(decoded, self.model.family, settings, labels))
        self._add_time("nms", start)
        return found, maps

    def compare(self, batch: Batch, found: list[Tensor]) -> None:
        """Match detections with labels in pixels of the original images, clipped to them.

        YOLOv8's rule matches them in pixels of the batch, where boxes may extend beyond the image.
        """
        self.lost.update(batch.failures)
        # A grey square stands for an image that was lost.
        scored = [
            rows[:0] if path in self.lost else rows
            for path, rows in zip(batch.paths, found, strict=True)
        ]
        counts = [len(rows) for rows in scored]
        detections = as_floats(torch.cat(scored))
        if self.settings.single_cls:
            detections[:, 5] = 0
        labels, labelled = by_image(batch.targets, len(found))
        known = np.concatenate((labels[:, :1], in_originals(labels[:, 1:], labelled, batch)), 1)
        images = zip(
            per_image(in_originals(detections, counts, batch), counts),
            per_image(known, labelled),
            # Only YOLOv8's rule compares boxes before they are clipped to the image.
            zip(per_image(detections, counts), per_image(labels, labelled), strict=True),
            per_image(*by_image(batch.ignored, len(found))),
            strict=True,
        )
        in_batch = self.evaluation.protocol == "yolov8"
        for rows, truth, compared, unscored in images:
            self.evaluation.add(rows, truth, compared if in_batch else None, unscored)
        self.sizes += batch.original_sizes

    def metrics(self, names: dict[int, str]) -> Metrics:
        """The scores of all batches so far, with mean losses and milliseconds per image."""
        settings, images = self.settings, max(self.evaluation.images, 1)
        metrics = self.evaluation.result(names, settings.area, settings.errors)
        notes = settings_notes(settings.conf, settings.single_cls, settings.save_hybrid)
        found, labels = self.evaluation.detections, self.evaluation.labels
        notes += result_notes(found, labels, names, settings.max_det)
        notes += swapped_notes(metrics.details.confusion, names)
        return dataclasses.replace(
            metrics,
            notes=(*metrics.notes, *notes, *self._notes()),
            losses=tuple((self._loss_sums() / max(self.batches, 1)).tolist()),
            speed_ms={stage: total / images * 1000 for stage, total in self.seconds.items()},
            details=dataclasses.replace(
                metrics.details,
                input_shape=self.input_shape,
                save_dir=self.settings.save_dir,
                names=names,
            ),
        )

    def _loss_sums(self) -> Tensor:
        """The sums of the loss's terms, added up in the order of the batches, on the CPU."""
        sums = torch.zeros(len(self.settings.loss.names) if self.settings.loss else 0)
        for terms in torch.stack(self.terms).cpu() if self.terms else ():
            sums += terms
        return sums

    def _notes(self) -> list[str]:
        words = ("validation images", self.lost, "their objects count as missed")
        return [*([lost_sentence(*words)] if self.lost else []), *self.settings.parts.notes]

    def _add_time(self, stage: str, start: float) -> float:
        """Add the seconds since start to a stage; return the current time."""
        now = synchronised_time(self.device)
        self.seconds[stage] += now - start
        return now
