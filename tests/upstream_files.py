"""Checkpoints of our models in the structure of YOLOv5 and YOLOv8, written by tests/pickles.py."""

from __future__ import annotations

from typing import Any

from torch import nn

from models.attention import ATTENTION
from models.blocks.v8 import WideBottleneck
from models.common import Bottleneck, Conv
from models.yolo import DetectionModel
from tests.pickles import Name, Thing, call, saved

NN = {
    "Conv2d": "conv",
    "BatchNorm2d": "batchnorm",
    "Sequential": "container",
    "ModuleList": "container",
    "MaxPool2d": "pooling",
    "Upsample": "upsampling",
    "SiLU": "activation",
    "Identity": "linear",
}
PLAIN = {
    "Conv2d": ("stride", "padding", "dilation", "groups"),
    "BatchNorm2d": ("eps", "momentum"),
    "MaxPool2d": ("kernel_size", "stride", "padding"),
    "Upsample": ("scale_factor", "mode"),
}
NAMES = {"WideBottleneck": "Bottleneck", "DetectV8": "Detect"}


def kind_of(module: nn.Module, v8: bool) -> Name:
    """The class of the original program that corresponds to a module."""
    name = type(module).__name__
    if type(module).__module__.startswith("torch.nn") or name == "SiLU":
        return Name(f"torch.nn.modules.{NN.get(name, 'other')}", name)
    if name in ATTENTION:
        return Name(f"models.{name}", name)
    name = NAMES.get(name, name)
    place = (
        "head"
        if name == "Detect"
        else "block"
        if name in ("C2f", "Bottleneck", "SPPF", "DFL")
        else "conv"
    )
    if v8:
        return Name(f"ultralytics.nn.modules.{place}", name)
    return Name("models.yolo" if name == "Detect" else "models.common", name)


def as_thing(module: nn.Module, v8: bool) -> Thing:
    """A module with its weights, in half precision as the programs save them."""
    halved = {
        kind: {
            key: value.half() if value is not None and value.is_floating_point() else value
            for key, value in getattr(module, kind).items()
        }
        for kind in ("_parameters", "_buffers")
    }
    halved["_buffers"].pop("stride", None)
    state: dict[str, Any] = {
        "training": False,
        **halved,
        "_non_persistent_buffers_set": call("__builtin__", "set", []),
    }
    rows = enumerate(module.children()) if hasattr(module, "_rows") else module.named_children()
    state["_modules"] = {str(name): as_thing(child, v8) for name, child in rows}
    state |= {name: getattr(module, name) for name in PLAIN.get(type(module).__name__, ())}
    if isinstance(module, (Bottleneck, WideBottleneck)):
        state["add"] = module.residual
    if isinstance(module, Conv) and "act" not in state["_modules"]:
        state["_modules"]["act"] = as_thing(module.act, v8)
    if type(module).__name__ == "SimAM":
        state["e_lambda"] = module.e_lambda
    return Thing(kind_of(module, v8), state)


def content_of(model: DetectionModel) -> dict[str, Any]:
    """The content of the stripped checkpoint that the program of the model's family would save."""
    v8 = not model.family.has_objectness
    model.model._rows = True
    rows = as_thing(model.model, v8)
    del model.model._rows
    head = rows.state["_modules"][str(len(model.model) - 1)]
    head.state |= {"nc": len(model.names), "stride": model.stride.half()}
    yaml = {key: value for key, value in model.graph.items() if key != "ch"} | {
        "channels" if v8 else "ch": 3
    }
    state = {
        "training": False,
        "_parameters": {},
        "_buffers": {},
        "_modules": {"model": rows},
        "yaml": yaml,
        "names": dict(model.names),
        "stride": model.stride.float(),
    }
    kind = Name("ultralytics.nn.tasks" if v8 else "models.yolo", "DetectionModel")
    options = {"imgsz": 64, "epochs": 3, "seed": 1, "data": "somewhere.yaml", "optimizer": "SGD"}
    recipe = (
        {"train_args": {**options, "batch": 8, "lr0": 0.02, "box": 7.5}}
        if v8
        else {
            "opt": {
                **options,
                "batch_size": 8,
                "hyp": {"lr0": 0.02, "box": 0.04, "label_smoothing": 0.0},
            }
        }
    )
    return {
        "epoch": -1,
        "best_fitness": None,
        "model": Thing(kind, state),
        "ema": None,
        "updates": None,
        **recipe,
    }


def upstream_file(model: DetectionModel) -> bytes:
    return saved(content_of(model))
