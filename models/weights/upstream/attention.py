"""Infer the arguments of a foreign attention module from its attributes and weight shapes.

The meaning of the list in a fork's YAML depends on the fork's parser, but the instance shows what
was built. The tensors have the names that our classes in models/attention/ use.
models/weights/upstream/graph.py uses read_arguments().
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from models.graph.values import is_whole
from models.weights.upstream.gates import GATE_READERS
from models.weights.upstream.rarer import RARER_READERS
from models.weights.upstream.reading import Options, Reader, Tensors, attribute, ratio, text
from models.weights.upstream.tokens import TOKEN_READERS
from models.weights.upstream.tree import class_name_of, members
from utils.pickles.objects import PickledObject

LSKA_SIZES = {  # sides of the two long kernels -> k_size
    (3, 3): 7,
    (3, 5): 11,
    (5, 7): 23,
    (5, 11): 35,
    (5, 13): 41,
    (5, 17): 53,
}


def read_arguments(
    name: str, module: PickledObject, state: Tensors, written: object, channels: int = 0
) -> object:
    """The arguments with which our module is built like a foreign one.

    Args:
        name: name of our module.
        module: the foreign module.
        state: its tensors, by their keys below it.
        written: the row's arguments in the fork's YAML.
        channels: of the map that it reads, 0 if they are not known.

    Returns:
        Keyword arguments, or `written` if neither attributes nor shapes tell them.
    """
    reader = READERS.get(name)
    if reader is None:
        return written
    try:
        found = {**_by_channels(name, state, channels), **_present(reader(module, state))}
    except (LookupError, ValueError, ZeroDivisionError):
        return written  # weights of another form; comparing them with ours will report it
    return found


def _present(options: Options) -> Options:
    return {key: value for key, value in options.items() if value is not None}


def _by_channels(name: str, state: Tensors, channels: int) -> Options:
    """Options that shapes show only together with the number of channels."""
    if channels and name == "EMA":
        return {"factor": channels // state["conv1x1.weight"].shape[0]}
    if channels and name == "ShuffleAttention":
        return {"groups": channels // (2 * state["cweight"].shape[1])}
    if channels and name == "MLCA":
        # gamma and b of the authors' rule matter only for the number of taps.
        taps = state["conv.weight"].shape[-1]
        is_usual = taps == int(abs(math.log2(channels) + 1) / 2) | 1
        return {} if is_usual else {"gamma": 1, "b": taps + 0.5 - math.log2(channels)}
    return {}


def _simam(module: PickledObject, _: Tensors) -> Options:
    return {"e_lambda": attribute(module, "e_lambda")}


def _se(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "fc.0.weight"), "bias": "fc.0.bias" in state}


def _eca(_: PickledObject, state: Tensors) -> Options:
    return {"k_size": state["conv.weight"].shape[-1], "bias": "conv.bias" in state}


def _ema(module: PickledObject, _: Tensors) -> Options:
    return {"factor": attribute(module, "groups", "factor")}


def _coordinate(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "conv1.weight")}


def _triplet(_: PickledObject, state: Tensors) -> Options:
    return {
        "no_spatial": "hw.conv.conv.weight" not in state,
        "kernel_size": state["cw.conv.conv.weight"].shape[-1],
    }


def _nam(_: PickledObject, __: Tensors) -> Options:
    return {}


def _bam(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "spatial_att.conv_reduce.weight")}


def _cbam(_: PickledObject, state: Tensors) -> Options:
    spatial = state.get("spatial_attention.conv.weight")
    found: Options = {
        "no_spatial": spatial is None,
        "kernel_size": None if spatial is None else spatial.shape[-1],
    }
    if "channel_attention.fc.weight" in state:
        return {**found, "formula": "ultralytics"}
    norm = spatial is None or "spatial_attention.bn.weight" in state
    return {
        **found,
        "reduction": ratio(state, "channel_attention.fc1.weight"),
        "formula": "paper" if norm else "plain",
        "bias": "channel_attention.fc1.bias" in state,
        "conv_bias": "spatial_attention.conv.bias" in state,
    }


def _gam(module: PickledObject, state: Tensors) -> Options:
    first = state["spatial_attention.0.weight"]
    grouped = first.shape[1] < state["channel_attention.2.weight"].shape[0]
    modes = [text(conv.get("padding_mode")) for conv in _convolutions(module)]
    return {
        "rate": ratio(state, "channel_attention.0.weight"),
        "group": grouped,
        "padding_mode": modes[0] if modes else None,
    }


def _convolutions(module: PickledObject) -> Iterator[PickledObject]:
    """The convolutions of a module, down to those in a container."""
    for child in members(module, "_modules").values():
        if class_name_of(child) == "Conv2d" and isinstance(child, PickledObject):
            yield child
        elif class_name_of(child) == "Sequential" and isinstance(child, PickledObject):
            yield from _convolutions(child)


def _double(_: PickledObject, state: Tensors) -> Options:
    # Forks return the output alone; this project's module can add the input to it.
    sizes = {"c_m": state["convA.weight"].shape[0], "c_n": state["convB.weight"].shape[0]}
    return {**sizes, "reconstruct": "conv_reconstruct.weight" in state, "residual": False}


def _shuffle(module: PickledObject, _: Tensors) -> Options:
    return {"groups": attribute(module, "groups", "G", "group")}


def _context(_: PickledObject, state: Tensors) -> Options:
    fusion = [kind for kind in ("channel_mul", "channel_add") if f"{kind}_conv.0.weight" in state]
    hidden, channels = state[f"{fusion[0]}_conv.0.weight"].shape[:2]
    pooling = "att" if "conv_mask.weight" in state else "avg"
    return {"ratio": hidden / channels, "pooling": pooling, "fusion": fusion}


def _acmix(module: PickledObject, state: Tensors) -> Options:
    # The number of heads and the kernel do not show in the shapes.
    found = {name: attribute(module, name) for name in ("kernel_att", "head", "stride")}
    return {"out_channels": state["conv1.weight"].shape[0], **found}


def _sk_attention(_: PickledObject, state: Tensors) -> Options:
    kernels = [
        state[f"convs.{number}.conv.weight"].shape[-1]
        for number in range(sum(key.endswith("conv.weight") for key in state))
    ]
    width, channels = state["fc.weight"].shape[:2]
    group = channels // state["convs.0.conv.weight"].shape[1]
    return {"kernels": kernels, "group": group, "reduction": channels, "L": width}


def _sk(_: PickledObject, state: Tensors) -> Options:
    path = state["paths.0.conv.weight"]
    groups = path.shape[0] // path.shape[1]
    return {"groups": groups, "rd_channels": state["attn.fc_reduce.weight"].shape[0]}


def _lska(module: PickledObject, state: Tensors) -> Options:
    sides = (state["conv0h.weight"].shape[-1], state["conv_spatial_h.weight"].shape[-1])
    known = attribute(module, "k_size")
    return {"k_size": known if is_whole(known) else LSKA_SIZES.get(sides)}


READERS: Mapping[str, Reader] = {
    "SimAM": _simam,
    "SE": _se,
    "ECA": _eca,
    "EMA": _ema,
    "CoordAttention": _coordinate,
    "TripletAttention": _triplet,
    "NAM": _nam,
    "BAM": _bam,
    "CBAM": _cbam,
    "GAM": _gam,
    "DoubleAttention": _double,
    "ShuffleAttention": _shuffle,
    "GlobalContext": _context,
    "ACmix": _acmix,
    "LSKA": _lska,
    "SKAttention": _sk_attention,
    "SK": _sk,
    **GATE_READERS,
    **TOKEN_READERS,
    **RARER_READERS,
}
