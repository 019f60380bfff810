"""How foreign modules that few public files use were built.

models/weights/upstream/attention.py has the table of all readers. What no shape shows is an
attribute of the foreign module, under the name that its authors gave it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from models.weights.upstream.reading import (
    Options,
    Reader,
    Tensors,
    attribute,
    count_of,
    flag,
    ratio,
    side_of,
)
from utils.pickles.objects import PickledObject


def _cafm(module: PickledObject, state: Tensors) -> Options:
    return {
        "num_heads": state["temperature"].shape[0],
        "bias": "qkv.bias" in state,
        "residual": flag(module, "residual"),
    }


def _aggregation(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "v.conv.weight")}


def _dilated(module: PickledObject, state: Tensors) -> Options:
    rates = module.get("dilation")
    return {
        "num_heads": attribute(module, "num_heads"),
        "kernel_size": attribute(module, "kernel_size"),
        "dilation": list(rates) if isinstance(rates, (list, tuple)) else None,
        "qkv_bias": "qkv.bias" in state,
    }


def _pyramid_channels(module: PickledObject, state: Tensors) -> Options:
    return {"ratio": ratio(state, "conv1.weight"), "flag": flag(module, "flag")}


def _local_window(_: PickledObject, state: Tensors) -> Options:
    heads = count_of(state, "attn.qkvs.")
    outputs, width = state["attn.qkvs.0.c.weight"].shape[:2]
    return {
        "key_dim": (outputs - width) // 2,  # queries, keys and as many values as inputs
        "num_heads": heads,
        "window_resolution": math.isqrt(state["attn.attention_biases"].shape[1]),
        "kernels": [side_of(state, f"attn.dws.{number}.c.weight") for number in range(heads)],
    }


def _linear(module: PickledObject, state: Tensors) -> Options:
    return {"num_heads": attribute(module, "num_heads"), "qkv_bias": "qk.bias" in state}


def _scsa(module: PickledObject, state: Tensors) -> Options:
    names = ("local_dwc", *(f"global_dwc_{size}" for size in "sml"))
    return {
        "head_num": attribute(module, "head_num"),
        "window_size": attribute(module, "window_size"),
        "group_kernel_sizes": [side_of(state, f"{name}.weight") for name in names],
    }


def _four_branches(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "fc1.0.weight")}


def _single_head(_: PickledObject, state: Tensors) -> Options:
    outputs, width = state["qkv.c.weight"].shape[:2]
    return {"pdim": width, "qk_dim": (outputs - width) // 2}


def _second_order(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "conv_du.0.weight")}


RARER_READERS: Mapping[str, Reader] = {
    "CAFMAttention": _cafm,
    "ContextAggregation": _aggregation,
    "DeformableLKA": lambda module, state: {},
    "MultiDilatelocalAttention": _dilated,
    "HSFPNChannelAttention": _pyramid_channels,
    "LocalWindowAttention": _local_window,
    "MLLAttention": _linear,
    "SCSA": _scsa,
    "SELayerV2": _four_branches,
    "SHSA": _single_head,
    "SOCA": _second_order,
}
