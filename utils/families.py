"""The two families of detectors, with and without anchors, and everything in which they differ.

A family is the form of a graph and of its head's maps, together with the recipe of the program that
they come from. Each head names its family (models/heads), and a graph's family follows from its
anchors (family_of). All other code reads the fields of that value instead of comparing names. This
module imports nothing of the project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """What all graphs of one kind have in common.

    Attributes:
        name: "v5" or "v8".
        original: The program whose graphs, commands and recipe the family follows.
        example: A graph in models/ that messages refer to.
        has_anchors: Whether a graph gives anchors, which its head refines.
        box_columns: Columns of a decoded row before those of the classes: 4 of the box, and the
            objectness if there is one.
        fresh_variance, fresh_batches: running_var and num_batches_tracked of an untrained batch
            norm.
        keeps_head_width: Whether width_multiple leaves a row alone that has as many channels as a
            raw map of the head.
        class_tensors: Pattern of the names, within a head, of tensors that have rows for classes.
        class_kernel: Name of one of these tensors, which has four dimensions.
        class_offset: Rows of such a tensor, for each anchor, that precede those of the classes.
        hyp: File in data/hyps whose values hold where no others are given.
        flags: Defaults of train.py's flags that differ from the general ones.
        section: Key in a data set's `defaults` whose settings are for this family alone, or "".
        box_gain: The usual gain of the box loss.
        validation_iou: IoU threshold of NMS while mAP is measured.
        detection_iou: IoU threshold of NMS for detection and in exported files.
        warmup_ends_early: Whether the warm-up ends before the last epoch, however few there are.
        schedule_lag: Epochs by which the learning rate's decay lags behind after the warm-up.
    """

    name: str
    original: str
    example: str
    has_anchors: bool
    box_columns: int
    fresh_variance: float
    fresh_batches: int
    keeps_head_width: bool
    class_tensors: re.Pattern[str]
    class_kernel: str
    class_offset: int
    hyp: str
    flags: Mapping[str, str | int] = field(hash=False)
    section: str
    box_gain: float
    validation_iou: float
    detection_iou: float
    warmup_ends_early: bool
    schedule_lag: int

    @property
    def has_objectness(self) -> bool:
        """Whether a box has an objectness score besides its class scores."""
        return self.box_columns == 5

    def __str__(self) -> str:
        return self.name


V5 = Family(
    name="v5",
    original="YOLOv5",
    example="yolov5s.yaml",
    has_anchors=True,
    box_columns=5,
    fresh_variance=0.9,  # YOLOv5 measures strides on a black image, which moves the statistics once
    fresh_batches=1,
    keeps_head_width=True,
    class_tensors=re.compile(r"m\.\d+\.(weight|bias)"),
    class_kernel="m.0.weight",
    class_offset=5,
    hyp="hyp.scratch-low.yaml",
    flags={},
    section="",
    box_gain=0.05,
    validation_iou=0.6,
    detection_iou=0.45,
    warmup_ends_early=False,
    schedule_lag=1,
)
V8 = Family(
    name="v8",
    original="YOLOv8",
    example="yolov8.yaml",
    has_anchors=False,
    box_columns=4,
    fresh_variance=1.0,
    fresh_batches=0,
    keeps_head_width=False,
    class_tensors=re.compile(r"cv3\.\d+\.2\.(weight|bias)"),
    class_kernel="cv3.0.2.weight",
    class_offset=0,
    hyp="hyp.v8.yaml",
    flags={"optimizer": "auto", "close_mosaic": 10},
    section="v8",
    box_gain=7.5,
    validation_iou=0.7,
    detection_iou=0.7,
    warmup_ends_early=True,
    schedule_lag=0,
)
FAMILIES = (V5, V8)


def family_of(graph: Mapping[str, object]) -> Family:
    """V5 for a model YAML that has anchors or whose last row names them, else V8.

    A graph whose last row names anchors that are missing is V5 too, so that the error says that
    anchors are missing.
    """
    arguments = graph.get("head")
    for _ in range(2):  # the last row, then the last of its parts
        arguments = arguments[-1] if isinstance(arguments, list) and arguments else None
    asks = isinstance(arguments, list) and "anchors" in arguments
    return V5 if asks or "anchors" in graph else V8
