"""How a foreign checkpoint was trained, as far as our configuration has the same fields.

models/weights/upstream/adopt.py puts it into the Checkpoint; detect.py and api/yolo.py take the
image size from there.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from models.weights.pickles.allowlist import Record
from models.weights.upstream.tree import plain
from utils.cli import build
from utils.config import Hyperparameters, TrainConfig
from utils.errors import UserError

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
OTHER_NAMES = {"batch": "batch_size", "nbs": "nominal_batch"}  # YOLOv8's
SCALED = ("box", "cls", "obj")  # which YOLOv5 rewrites in place, on the model, before it trains


def read_recipe(content: Any, root: Record) -> tuple[dict[str, Any], dict[str, Any]]:
    """(config, hyp): fields of TrainConfig and Hyperparameters whose values ours would take too."""
    content = content if isinstance(content, dict) else {}
    options = (
        _mapping(content.get("opt"))
        or _mapping(content.get("train_args"))
        or _mapping(root.get("args"))
    )
    hyp = _mapping(options.get("hyp"))
    if not hyp:
        of_model = _mapping(root.get("hyp"))
        hyp = {key: value for key, value in of_model.items() if key not in SCALED} or options
    return _accepted(options, set(OPTIONS), _takes_option), _accepted(hyp, _FIELDS, _takes_hyp)


_FIELDS = {field.name for field in dataclasses.fields(Hyperparameters)}


def _mapping(value: Any) -> dict[str, Any]:
    """A mapping of plain values; {} for anything else."""
    try:
        found = plain(value)
    except UserError:
        return {}
    texts = {str(key): part for key, part in found.items()} if isinstance(found, dict) else {}
    return {OTHER_NAMES.get(key, key): part for key, part in texts.items()}


def _accepted(values: dict[str, Any], known: set[str], takes: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in known and takes(key, value)}


def _takes_option(key: str, value: Any) -> bool:
    usual = type(getattr(TrainConfig(), key))
    try:
        build(TrainConfig, {key: value})
    except UserError:
        return False
    return type(value) is usual or (usual is float and type(value) is int)


def _takes_hyp(key: str, value: Any) -> bool:
    try:
        Hyperparameters.from_mapping({key: value}, "hyp")
    except UserError:
        return False
    return isinstance(value, (int, float))
