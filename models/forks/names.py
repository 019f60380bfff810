"""Which object a name means that a person's file imports from another program.

The same name may mean two things: a bottleneck of YOLOv5 has no kernels among its arguments, one of
YOLOv8 has. So the module that a file names decides, `models.common` or `ultralytics.nn.modules`.
"""

from __future__ import annotations

import copy
import importlib
import math
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from models import common
from models.attention import ATTENTION
from models.attention._arguments import read_list
from models.blocks import ghost, rare, reparam, v8, v10
from models.forks import blocks, functions, layers, rearrange, toolkits
from models.heads.anchor_free import DetectV8

OURS = frozenset({"models", "utils"})  # packages of this project with the names of YOLOv5's
STARRED = {  # what a star import of YOLOv5's modules gives besides their classes
    **{one.__name__: one for one in (torch, nn, math, warnings, copy)},
    **{"nn": nn, "np": np, "F": F, "Path": Path},
}
HELPERS = {
    **{
        name: getattr(functions, name)
        for name in (
            "LOGGER",
            "make_divisible",
            "fuse_conv_and_bn",
            "make_anchors",
            "dist2bbox",
            "bias_init_with_prob",
            "initialize_weights",
            "time_sync",
            "colorstr",
            "check_version",
        )
    },
    "time_synchronized": functions.time_sync,
    "autopad": common.autopad,
    "SiLU": nn.SiLU,
    "Hardswish": nn.Hardswish,
    "Mish": nn.Mish,
    "DropPath": layers.DropPath,
    "trunc_normal_": nn.init.trunc_normal_,
    "to_2tuple": layers.to_2tuple,
    "rearrange": rearrange.rearrange,
    "LayerNorm2d": layers.LayerNorm2d,
}
SHARED = {
    **{one.__name__: one for one in (common.Conv, common.DWConv, common.C3, common.Concat)},
    **{one.__name__: one for one in (v8.C2, v8.C2f, v8.C3k2, v8.C2PSA, v10.RepVGGDW, v10.CIB)},
    **{one.__name__: one for one in (rare.TransformerLayer, rare.TransformerBlock)},
    **{one.__name__: one for one in (reparam.RepConvN, reparam.RepCSP, rare.CrossConv)},
    **{one.__name__: one for one in (ghost.GhostBottleneck, rare.C3x)},
    "C3k": blocks.ForkC3k,
    "Attention": blocks.ForkAttention,
    "PSABlock": blocks.ForkPSABlock,
    "AAttn": blocks.ForkAAttn,
    "ABlock": blocks.ForkABlock,
    "A2C2f": blocks.ForkA2C2f,
    "ChannelAttention": blocks.ForkChannelGate,
    "SpatialAttention": blocks.ForkSpatialGate,
    "DFL": blocks.ForkDFL,
}
V5_BLOCKS = {"Bottleneck": common.Bottleneck, "CBAM": blocks.PaperCBAM}
V8_BLOCKS = {
    "Bottleneck": blocks.WideForkBottleneck,
    "CBAM": blocks.ForkCBAM,
    "Detect": DetectV8,
}


def _public(module: ModuleType) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if name[:1] != "_"}


REGISTRIES = (
    "ATTENTION BACKBONES CONV_LAYERS DETECTORS HEADS LOSSES MODELS NECKS NORM_LAYERS PLUGIN_LAYERS"
    " ROTATED_BACKBONES ROTATED_NECKS SEGMENTORS TRANSFORMER_LAYER UPSAMPLE_LAYERS"
)
TOOLS = {
    **_public(toolkits),
    **dict.fromkeys(REGISTRIES.split(), toolkits.Registrar()),
    "trunc_normal_": nn.init.trunc_normal_,
    "to_2tuple": layers.to_2tuple,
}
STAND_INS: Mapping[str, Mapping[str, object]] = {  # packages that need not be installed
    "einops": _public(rearrange),
    "timm": {
        **_public(layers),
        "trunc_normal_": nn.init.trunc_normal_,
        "register_model": toolkits.unchanged,
    },
    **dict.fromkeys(("mmcv", "mmengine", "mmdet", "mmseg", "mmcls", "mmrotate"), TOOLS),
}
V5_MODULES = ("models", "yolov5", "common", "experimental")


class PublicNames:
    """The names of models/own/imports.py.

    Args:
        kinds: blocks by the names that rows have for them.
    """

    def __init__(self, kinds: Mapping[str, object]) -> None:
        self.kinds = {name: kind for name, kind in kinds.items() if "." not in name}

    def find(self, module: str, name: str) -> object:
        """The object that `from module import name` means, or None."""
        package = module.partition(".")[0]
        if package in STAND_INS:
            return STAND_INS[package].get(name)
        if package in OURS and (found := _of_this_project(module, name)) is not None:
            return found
        # ultralytics.nn is a package, not torch.nn.
        return None if (module, name) == ("ultralytics", "nn") else self._table(module).get(name)

    def all_of(self, module: str) -> list[str]:
        """The names that a star import of the module gives."""
        package = module.partition(".")[0]
        if package in STAND_INS:
            return list(STAND_INS[package])
        return [*STARRED, *self._table(module)]

    def is_module(self, module: str) -> bool:
        """Whether names of the module are known."""
        package = module.partition(".")[0]
        return package in STAND_INS or (package in OURS and _module(module) is not None)

    def _table(self, module: str) -> dict[str, object]:
        of_v5 = any(part in V5_MODULES for part in module.split("."))
        attention = {name: positional(name) for name in ATTENTION.library}
        known = {**STARRED, **attention, **self.kinds, **HELPERS, **SHARED}
        return {**known, **(V5_BLOCKS if of_v5 else V8_BLOCKS)}


@cache
def _module(name: str) -> ModuleType | None:
    """A module of this project, or None."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


def _of_this_project(module: str, name: str) -> object:
    found = vars(_module(module) or nn).get(name) if _module(module) else None
    if found is None:
        found = _module(f"{module}.{name}")
    is_attention = isinstance(found, type) and ATTENTION.library.get(name) is found
    return positional(name) if is_attention else found


@cache
def positional(name: str) -> type[nn.Module]:
    """A class of our attention library that takes its options by position too, as forks call it."""
    kind = ATTENTION.library[name]

    def build(self: nn.Module, channels: int, *values: object, **named: object) -> None:
        rest = [value for value in values[:1] if value != channels] + list(values[1:])
        given, _ = read_list(kind, rest, channels, int, name) if values else ({}, "")
        kind.__init__(self, channels, **given, **named)

    return type(name, (kind,), {"__init__": build, "__module__": __name__})
