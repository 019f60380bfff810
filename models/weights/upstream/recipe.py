"""Read the training options of a foreign checkpoint that our configuration has too.

models/weights/upstream/adopt.py stores them in the Checkpoint. detect.py and api/yolo.py take the
image size from there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection

from models.weights.upstream.tree import plain_value
from utils.cli import build
from utils.config import Hyperparameters, TrainConfig
from utils.errors import UserError
from utils.pickles.objects import PickledObject

OPTIONS = (
    "epochs",
    "batch_size",
    "imgsz",
    "optimizer",
    "seed",
    "cos_lr",
    "label_smoothing",
    "patience",
    "single_cls",
    "rect",
    "multi_scale",
    "close_mosaic",
)
HYP_FIELDS = frozenset(field.name for field in dataclasses.fields(Hyperparameters))
OTHER_NAMES = {"batch": "batch_size", "nbs": "nominal_batch"}  # YOLOv8's
# YOLOv5 scales these by the numbers of classes and levels before training and stores the result on
# the model, so the values there are not those of the user.
SCALED = ("box", "cls", "obj")
FieldValues = dict[str, object]


def read_recipe(content: object, network: PickledObject) -> tuple[FieldValues, FieldValues]:
    """The options and hyperparameters of a foreign checkpoint.

    YOLOv5 keeps options under `opt`, with hyperparameters in them under `hyp`; YOLOv8 keeps both in
    one mapping, `train_args`. Older files have them only on the network.

    Args:
        content: what the file holds.
        network: the model in it.

    Returns:
        (config, hyp), with those fields of TrainConfig and Hyperparameters whose values our
        programs accept too.
    """
    content = content if isinstance(content, dict) else {}
    options = (
        _mapping(content.get("opt"))
        or _mapping(content.get("train_args"))
        or _mapping(network.get("args"))
    )
    hyp = _mapping(options.get("hyp"))
    if not hyp:
        of_network = _mapping(network.get("hyp"))
        hyp = {key: value for key, value in of_network.items() if key not in SCALED} or options
    return (
        _accepted(options, OPTIONS, _takes_option),
        _accepted(hyp, HYP_FIELDS, _takes_hyperparameter),
    )


def _mapping(value: object) -> FieldValues:
    """A mapping of plain values under our names; {} for anything else."""
    try:
        found = plain_value(value)
    except UserError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {OTHER_NAMES.get(str(key), str(key)): part for key, part in found.items()}


def _accepted(
    values: FieldValues, known: Collection[str], takes: Callable[[str, object], bool]
) -> FieldValues:
    return {key: value for key, value in values.items() if key in known and takes(key, value)}


def _takes_option(key: str, value: object) -> bool:
    # build() accepts a value of any type where the default is None.
    usual = type(getattr(TrainConfig(), key))
    try:
        build(TrainConfig, {key: value})
    except UserError:
        return False
    return type(value) is usual or (usual is float and type(value) is int)


def _takes_hyperparameter(key: str, value: object) -> bool:
    try:
        Hyperparameters.from_mapping({key: value}, "hyp")
    except UserError:
        return False
    return isinstance(value, (int, float))
