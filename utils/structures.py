"""The values that pass between the packages: frozen dataclasses with shapes and units.

Inside the program a box is xyxy, float32, in pixels of the current image. Other forms exist in
three places only: the label reader (data/formats/yolo.py), the grids of losses (models/losses), and
the writers of results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from utils.families import Family


@dataclass(frozen=True, slots=True)
class Item:
    """One image ready for collation.

    Attributes:
        image: [3, H, W] uint8 RGB, or [1, H, W] grey.
        boxes: [N, 4] float32 xyxy, pixels of the image.
        classes: [N] int64.
        index: The image's number in the index.
        original_size: (height, width) before any resizing.
        gain, pad: (x, y) factors and (x, y) pixels such that box = original_box * gain + pad. They
            are meaningful only without augmentation.
        hsv: Factors of hue, saturation and value that are still to be applied.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    index: int
    original_size: tuple[int, int]
    gain: tuple[float, float] = (1.0, 1.0)
    pad: tuple[float, float] = (0.0, 0.0)
    hsv: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and their targets, as the loader yields them.

    Attributes:
        images: [B, 3, H, W] uint8 RGB, or [B, 1, H, W] grey.
        targets: [T, 6] float32, columns image_index (0..B-1), class, x1, y1, x2, y2 in pixels of
            the images.
        indices: [B] numbers in the index.
        paths: B strings.
        original_sizes: B pairs (height, width).
        gains, pads: B pairs (x, y) as in Item.
        ignored: [K, 7] float32, objects that are neither learnt nor scored: image_index (0..B-1),
            class, xyxy in pixels of the original images, and 1 for a crowd. Augmented batches have
            none.
        failures: (path, reason) of each image that could not be read for this batch.
        hsv: [B, 3] float32, factors of hue, saturation and value that the device applies to the
            images, or None if the loader has done it.
    """

    images: torch.Tensor
    targets: torch.Tensor
    indices: tuple[int, ...]
    paths: tuple[str, ...]
    original_sizes: tuple[tuple[int, int], ...]
    gains: tuple[tuple[float, float], ...]
    pads: tuple[tuple[float, float], ...]
    ignored: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 7), compare=False)
    failures: tuple[tuple[str, str], ...] = ()
    hsv: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One image for detection: a single one, or a frame of a video or stream.

    Attributes:
        image: [H, W, 3] uint8 BGR.
        path: Path or address of its source, as printed.
        name: Stem of the result files, different for each item.
        kind: "image", "video" or "stream".
        item, items: Number of the image, video or stream, counted from 1, and how many there are.
        number: Number of the frame in its video or stream, counted from 1; 0 for an image.
        total: Number of frames of the video, 0 if unknown.
        fps: Frames per second at which the yielded frames should be played.
    """

    image: np.ndarray
    path: str
    name: str
    kind: str = "image"
    item: int = 1
    items: int = 1
    number: int = 0
    total: int = 0
    fps: float = 0.0


@dataclass(frozen=True, slots=True)
class Detections:
    """The objects that a model found in one image.

    Attributes:
        path: Path of the image.
        size: (height, width) of the original image.
        boxes: [N, 4] float32 xyxy, pixels of the original image.
        scores: [N] in 0..1, descending.
        classes: [N] int64.
        names: Class number -> name.
    """

    path: str
    size: tuple[int, int]
    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor
    names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """All that a loss or a decoder needs to know about a head.

    Attributes:
        family: The head's family.
        class_count: Number of classes.
        strides: Pixels per cell of each level.
        anchors: Per level the (width, height) pairs in pixels; () for an anchor-free head.
        reg_max: Number of bins of the distance to a side in an anchor-free head, else 0.
    """

    family: Family
    class_count: int
    strides: tuple[float, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...] = ()
    reg_max: int = 0

    @property
    def levels(self) -> int:
        """Number of maps of the head."""
        return len(self.strides)

    @property
    def anchors_per_level(self) -> int:
        """Number of boxes that a cell predicts."""
        return len(self.anchors[0]) if self.anchors else 1


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One row of the per-class table; scores are in 0..1, images and instances are counts."""

    class_id: int
    name: str
    images: int
    instances: int
    precision: float
    recall: float
    ap50: float
    ap: float


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to a single bool
class ClassCurves:
    """Curves of the C classes that have labels.

    Attributes:
        classes: [C] class numbers, ascending.
        instances: [C] number of labels of each class.
        ap: [C, K] average precision at K IoU thresholds.
        precision_curve, recall_curve, f1_curve: [C, 1000] at IoU .5 over 1000 confidences in 0..1.
        pr_curve: [C, 1000] precision over recall in 0..1.
        best: Index of the confidence at which the smoothed mean F1 is highest.
    """

    classes: np.ndarray
    instances: np.ndarray
    ap: np.ndarray
    precision_curve: np.ndarray
    recall_curve: np.ndarray
    f1_curve: np.ndarray
    pr_curve: np.ndarray
    best: int = 0

    @classmethod
    def empty(cls) -> ClassCurves:
        """The curves of a data set without labels."""
        # The shapes are those of real curves: 10 IoU thresholds and 1000 confidences.
        none, no_curve = np.zeros(0, dtype=int), np.zeros((0, 1000))
        return cls(none, none, np.zeros((0, 10)), no_curve, no_curve, no_curve, no_curve)

    @property
    def mean_ap(self) -> np.ndarray:
        """Average precision of each class, the mean over the IoU thresholds: [C]."""
        return np.asarray(self.ap.mean(1))

    @property
    def precision(self) -> np.ndarray:
        """Precision of each class at the best confidence: [C]."""
        return np.asarray(self.precision_curve[:, self.best])

    @property
    def recall(self) -> np.ndarray:
        """Recall of each class at the best confidence: [C]."""
        return np.asarray(self.recall_curve[:, self.best])

    @property
    def f1(self) -> np.ndarray:
        """F1 of each class at the best confidence: [C]."""
        return np.asarray(self.f1_curve[:, self.best])


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationDetails:
    """The arrays of an evaluation, for charts and Python callers.

    Attributes:
        curves: Curves of the classes that have labels.
        confusion: [nc + 1, nc + 1] counts, row predicted, column labelled, background last.
        class_ap: [nc] AP at IoU .5:.95; a class without labels has the mean of the others.
        errors: Kind of error -> how often it occurs, and the mAP50 that it costs; {} if not asked.
        input_shape: (batch, channels, height, width) of the last batch.
        save_dir: Folder of charts and files; None if nothing was written.
        names: Class number -> name, as scored.
    """

    curves: ClassCurves = field(default_factory=ClassCurves.empty)
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))
    class_ap: np.ndarray = field(default_factory=lambda: np.zeros(0))
    errors: dict[str, tuple[int, float]] = field(default_factory=dict)
    input_shape: tuple[int, ...] = (0, 3, 0, 0)
    save_dir: Path | None = None
    names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metrics:
    """The result of one evaluation.

    Attributes:
        images, instances: Number of images and of labels.
        precision, recall: Means over the classes at the confidence of the best mean F1, 0..1.
        map50, map: Mean AP at IoU .5 and .5:.95, in 0..1, by the rule that `protocol` names.
        classes: A row for each class with labels.
        ap_small, ap_medium, ap_large: AP by area, by COCO's protocol; NaN if there is no such
            object.
        losses: Validation losses, in the order of the loss's names; () if none were computed.
        speed_ms: Milliseconds per image, keys preprocess, inference, nms.
        coco: Every figure of COCO's protocol, such as coco["AP"].
        details: Curves and other arrays; == ignores them.
        protocol: "yolov5" or "yolov8", see engine/evaluation/metrics.py.
        notes: Sentences on what a reader of these figures must know, such as images that could not
            be read.
    """

    images: int
    instances: int
    precision: float
    recall: float
    map50: float
    map: float
    classes: tuple[ClassMetrics, ...] = ()
    ap_small: float = float("nan")
    ap_medium: float = float("nan")
    ap_large: float = float("nan")
    losses: tuple[float, ...] = ()
    speed_ms: dict[str, float] = field(default_factory=dict)
    coco: dict[str, float] = field(default_factory=dict)
    details: EvaluationDetails = field(default_factory=EvaluationDetails, compare=False, repr=False)
    protocol: str = "yolov5"
    notes: tuple[str, ...] = ()

    @property
    def fitness(self) -> float:
        """What best.pt maximises: 0.1 mAP50 + 0.9 mAP50-95, or mAP50-95 alone as in YOLOv8."""
        return self.map if self.protocol == "yolov8" else 0.1 * self.map50 + 0.9 * self.map
