"""Flags that several programs share: one table, so that each has one help text, type and spelling.

A configuration names a shared flag where its --help is to show it, with its own default if it needs
one: `project: str = shared("project", "runs/val")`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from utils.cli import flag
from utils.families import V5, V8


@dataclass(frozen=True)
class FlagEntry:
    """A flag without its name: default, help text, and the options of utils.cli.flag."""

    default: object
    help: str
    options: Mapping[str, object] = field(default_factory=dict)


def _overlap(validation: bool) -> FlagEntry:
    """--iou-thres, whose default None stands for the family's threshold."""
    with_anchors, without = (
        family.validation_iou if validation else family.detection_iou for family in (V5, V8)
    )
    text = (
        "overlap above which the less confident of two boxes is dropped; if left out"
        f" {with_anchors}, for graphs without anchors {without}"
    )
    return FlagEntry(None, text, {"kind": float, "aliases": ("--iou",)})


OUTPUT = {
    "project": FlagEntry("", "folder of runs"),
    "name": FlagEntry("exp", "name of this run"),
    "exist_ok": FlagEntry(False, "write into project/name even if it exists"),
    "noplots": FlagEntry(False, "draw no images"),
}
COMPUTE = {
    "device": FlagEntry("", "CUDA device such as 0, or cpu, mps or xpu; '' chooses"),
    "workers": FlagEntry(
        None,
        "loader processes, at most one for each core; if left out one for each core, and one for"
        " four where the processor trains",
        {"kind": int},
    ),
    "half": FlagEntry(False, "half precision: fp16 on CUDA, bf16 on a CPU that multiplies in it"),
    "tf32": FlagEntry(False, "multiply float32 in TF32: faster and less exact (CUDA)"),
}
READING = {
    "cache": FlagEntry(
        "auto",
        "keep decoded images: ram, disk, no, or auto (ram if it fits)",
        {"nargs": "?", "const": "ram", "choices": ("auto", "ram", "disk", "no")},
    ),
    "mosaic_pool": FlagEntry(
        "all",
        "where the partners of a mosaic come from: all images, or batch, so that each image of a"
        " batch is decoded once",
        {"choices": ("all", "batch")},
    ),
}
MODEL = {
    "modules": FlagEntry(
        (),
        "Python files with classes of your own, which rows and --attention may then name; only"
        " these files are imported",
        {"kind": str, "nargs": "+", "action": "extend", "metavar": "FILE.py"},
    ),
}
INFERENCE = {
    "inference_size": FlagEntry(
        (),
        "inference size: side, or height and width; if left out, that of the training",
        {"kind": int, "nargs": "+", "aliases": ("--img", "--img-size")},
    ),
    "conf_thres": FlagEntry(0.25, "lowest confidence of a detection", {"aliases": ("--conf",)}),
    "validation_iou": _overlap(validation=True),
    "detection_iou": _overlap(validation=False),
    "max_det": FlagEntry(300, "maximum number of detections per image"),
    "agnostic_nms": FlagEntry(False, "let boxes of different classes suppress each other"),
    "augment": FlagEntry(False, "test-time augmentation: three scales, one mirrored"),
    "save_conf": FlagEntry(False, "add the confidence to each row of --save-txt"),
    "single_cls": FlagEntry(False, "treat all classes as one"),
    "protocol": FlagEntry(
        "yolov5",
        "rule by which mAP is computed; scores by different rules must not be compared",
        {"choices": ("yolov5", "yolov8")},
    ),
}
SHARED_FLAGS = {**OUTPUT, **COMPUTE, **READING, **MODEL, **INFERENCE}


def shared(name: str, default: object = None, **options: object) -> Any:
    """Make a dataclass field from an entry of the table.

    Args:
        name: The entry's name.
        default: The default in this program; None takes the table's.
        options: Options that replace the table's, such as aliases or a help text.
    """
    # The field gives the flag its name, so --iou-thres can have two entries.
    entry = SHARED_FLAGS[name]
    given = {**entry.options, **options}
    text = str(given.pop("help", entry.help))
    return flag(entry.default if default is None else default, text, **given)
