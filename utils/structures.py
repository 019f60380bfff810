"""The values that travel between the parts: frozen dataclasses with shapes and units.

Inside the program a box is xyxy, float32, in pixels of the image at hand. It has another form
only at three doors: the label reader (data/formats/yolo.py), a loss's own grid frame
(models/losses), and the writers of results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from utils.families import Family


@dataclass(frozen=True, slots=True)
class Sample:
    """One image as the index knows it, no pixels.

    path: where the image is. size: (height, width) after EXIF rotation. boxes: [N, 4] float32
    xyxy, pixels of the original image. classes: [N] int64. segments: N polygons [P, 2] float32 in
    the same pixels, or () without any.
    """

    path: str
    size: tuple[int, int]
    boxes: np.ndarray
    classes: np.ndarray
    segments: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One image ready for collation.

    image: [3, H, W] uint8 RGB. boxes: [N, 4] float32 xyxy, pixels of image. classes: [N] int64.
    index: its number in the index. original_size: (height, width) before any resizing. gain: (x, y)
    factors and pad: (x, y) pixels with box = original_box * gain + pad; only meaningful without
    augmentation.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    index: int
    original_size: tuple[int, int]
    gain: tuple[float, float] = (1.0, 1.0)
    pad: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """What the loader yields.

    images: [B, 3, H, W] uint8 RGB. targets: [T, 6] float32, columns image_index (0..B-1), class,
    x1, y1, x2, y2 in pixels of images. indices: [B] numbers in the index. paths: B strings.
    original_sizes: B (height, width). gains, pads: B pairs (x, y) as in Item.
    """

    images: torch.Tensor
    targets: torch.Tensor
    indices: tuple[int, ...]
    paths: tuple[str, ...]
    original_sizes: tuple[tuple[int, int], ...]
    gains: tuple[tuple[float, float], ...]
    pads: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One image to look at.

    image: [H, W, 3] uint8 BGR. path: where it is from, as printed. name: stem of its results,
    unlike any other item's. kind: "image", "video" or "stream". item of items: which image,
    video or stream, from 1. number: frame number in its video or stream, from 1; 0 for a image.
    total: frames of the video, 0 if unknown. fps: frames a second at which the yielded frames are
    to be played.
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
    """What a model found in one image.

    path: its name. size: (height, width) of the original image. boxes: [N, 4] float32 xyxy,
    pixels of the original image. scores: [N] in 0..1, descending. classes: [N] int64. names:
    class number -> name.
    """

    path: str
    size: tuple[int, int]
    boxes: torch.Tensor
    scores: torch.Tensor
    classes: torch.Tensor
    names: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """All that a loss or a decoder needs to know of a head.

    family: of the head. class_count: number of classes. strides: pixels per cell, a level each.
    anchors: per level the (width, height) pairs in pixels; () for an anchor-free head. reg_max:
    bins of a distance to a side in an anchor-free head, else 0.
    """

    family: Family
    class_count: int
    strides: tuple[float, ...]
    anchors: tuple[tuple[tuple[float, float], ...], ...] = ()
    reg_max: int = 0

    @property
    def levels(self) -> int:
        return len(self.strides)

    @property
    def anchors_per_level(self) -> int:
        return len(self.anchors[0]) if self.anchors else 1


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One row of the per-class table; all in 0..1 but the counts."""

    class_id: int
    name: str
    images: int
    instances: int
    precision: float
    recall: float
    ap50: float
    ap: float


@dataclass(frozen=True, slots=True, eq=False)
class ClassCurves:
    """Curves of the C classes that have labels.

    classes: [C] class numbers, ascending. instances: [C] labels of each. ap: [C, K] average
    precision at K IoU thresholds. precision_curve, recall_curve, f1_curve: [C, 1000] at IoU .5 over
    1000 confidences in 0..1. pr_curve: [C, 1000] precision over recall 0..1. best: the number of
    the confidence at which the smoothed mean F1 is highest.
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
        """The curves of no class at all."""
        none, no_curve = np.zeros(0, dtype=int), np.zeros((0, 1000))
        return cls(none, none, np.zeros((0, 10)), no_curve, no_curve, no_curve, no_curve)

    @property
    def mean_ap(self) -> np.ndarray:
        """[C] average precision of each class, the mean over the IoU thresholds."""
        return np.asarray(self.ap.mean(1))

    @property
    def precision(self) -> np.ndarray:
        """[C] precision at the best confidence, as recall and f1."""
        return np.asarray(self.precision_curve[:, self.best])

    @property
    def recall(self) -> np.ndarray:
        return np.asarray(self.recall_curve[:, self.best])

    @property
    def f1(self) -> np.ndarray:
        return np.asarray(self.f1_curve[:, self.best])


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationDetails:
    """What charts and Python callers read of an evaluation besides its scores.

    curves: of the classes that have labels. confusion: [nc + 1, nc + 1] counts, row predicted,
    column labelled, background last. class_ap: [nc] AP at IoU .5:.95; a class without labels has
    the mean of the others. input_shape: (batch, channels, height, width) of the last batch.
    save_dir: folder of charts and files, None if nothing was written.
    """

    curves: ClassCurves = field(default_factory=ClassCurves.empty)
    confusion: np.ndarray = field(default_factory=lambda: np.zeros((1, 1)))
    class_ap: np.ndarray = field(default_factory=lambda: np.zeros(0))
    input_shape: tuple[int, ...] = (0, 3, 0, 0)
    save_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Metrics:
    """The result of one evaluation.

    precision, recall at the confidence of best mean F1; map50, map: mean AP at IoU .5 and .5:.95 by
    the rule named in protocol, see engine.evaluation.metrics. ap_small/medium/large: COCO's
    protocol by area, NaN if there is no such object. classes: a row per class with labels. losses:
    validation, the loss's own terms. speed_ms: milliseconds per image, keys preprocess,
    inference, nms. coco: every figure of COCO's protocol, e.g. coco["AP"]. details: curves and
    other arrays, which two results are not compared by.
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

    @property
    def fitness(self) -> float:
        """What best.pt maximises: 0.1 mAP50 + 0.9 mAP50-95, as YOLOv5; mAP50-95 alone by YOLOv8's
        protocol.
        """
        return self.map if self.protocol == "yolov8" else 0.1 * self.map50 + 0.9 * self.map
