"""Arguments of a foreign attention module, read off its attributes and the shapes of its weights.

A fork's YAML says what its parser made of it, which differs from fork to fork; the instance knows.
Facts: the tables of keys in the modules' own files. models/weights/upstream/adopt.py uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from models.graph.values import is_number, is_whole
from models.weights.pickles.allowlist import Record

State = Mapping[str, Tensor]
LSKA_SIZES = {
    (3, 3): 7,
    (3, 5): 11,
    (5, 7): 23,
    (5, 11): 35,
    (5, 13): 41,
    (5, 17): 53,
}  # of both long kernels


def read_arguments(name: str, record: Record, state: State, written: Any) -> Any:
    """Keyword arguments of our module `name`, or the row's own list where nothing tells them.

    record: the instance. state: its weights, keys below it. written: the row's arguments.
    """
    reader = READERS.get(name)
    try:
        found = reader(record, state) if reader else None
    except (
        KeyError,
        IndexError,
        ZeroDivisionError,
    ):  # weights of another form: comparing them will say it
        found = None
    return (
        written
        if found is None
        else {key: value for key, value in found.items() if value is not None}
    )


def _attribute(record: Record, *names: str) -> Any:
    return next((record.get(name) for name in names if is_number(record.get(name))), None)


def _ratio(state: State, key: str) -> int:
    """Inputs over outputs of a layer that squeezes."""
    outputs, inputs = state[key].shape[:2]
    return max(inputs // outputs, 1)


def _cbam(_: Record, state: State) -> dict[str, Any]:
    spatial = state.get("spatial_attention.conv.weight")
    size = {} if spatial is None else {"kernel_size": spatial.shape[-1]}
    return {
        "reduction": _ratio(state, "channel_attention.fc1.weight"),
        "no_spatial": spatial is None,
        **size,
    }


def _gam(_: Record, state: State) -> dict[str, Any]:
    print(
        "warning: GAM: the file does not say whether its channel branch ends in a sigmoid; it is"
        " taken to"
    )
    first = state["spatial_attention.0.weight"]
    grouped = first.shape[1] < state["channel_attention.2.weight"].shape[0]
    return {"rate": _ratio(state, "channel_attention.0.weight"), "group": grouped}


def _double(_: Record, state: State) -> dict[str, Any]:
    sizes = {"c_m": state["convA.weight"].shape[0], "c_n": state["convB.weight"].shape[0]}
    return {**sizes, "reconstruct": "conv_reconstruct.weight" in state, "residual": False}


def _shuffle(record: Record, state: State) -> dict[str, Any]:
    return {"groups": _attribute(record, "groups", "G", "group")}


def _context(_: Record, state: State) -> dict[str, Any]:
    fusion = [kind for kind in ("channel_mul", "channel_add") if f"{kind}_conv.0.weight" in state]
    hidden, channels = state[f"{fusion[0]}_conv.0.weight"].shape[:2]
    pooling = "att" if "conv_mask.weight" in state else "avg"
    return {"ratio": hidden / channels, "pooling": pooling, "fusion": fusion}


def _acmix(record: Record, state: State) -> dict[str, Any]:
    names = {"kernel_att": "kernel_att", "head": "head", "stride": "stride"}
    found = {ours: _attribute(record, theirs) for ours, theirs in names.items()}
    return {"out_channels": state["conv1.weight"].shape[0], **found}


def _lska(record: Record, state: State) -> dict[str, Any]:
    sides = (state["conv0h.weight"].shape[-1], state["conv_spatial_h.weight"].shape[-1])
    known = _attribute(record, "k_size")
    return {"k_size": known if is_whole(known) else LSKA_SIZES.get(sides)}


READERS: Mapping[str, Callable[[Record, State], dict[str, Any]]] = {
    "SimAM": lambda record, _: {"e_lambda": _attribute(record, "e_lambda")},
    "SE": lambda _, state: {
        "reduction": _ratio(state, "fc.0.weight"),
        "bias": "fc.0.bias" in state,
    },
    "ECA": lambda _, state: {"k_size": state["conv.weight"].shape[-1]},
    "EMA": lambda record, _: {"factor": _attribute(record, "groups", "factor")},
    "CoordAttention": lambda _, state: {"reduction": _ratio(state, "conv1.weight")},
    "TripletAttention": lambda _, state: {
        "no_spatial": "hw.conv.conv.weight" not in state,
        "kernel_size": state["cw.conv.conv.weight"].shape[-1],
    },
    "NAM": lambda _, state: {},
    "BAM": lambda _, state: {"reduction": _ratio(state, "spatial_att.conv_reduce.weight")},
    "CBAM": _cbam,
    "GAM": _gam,
    "DoubleAttention": _double,
    "ShuffleAttention": _shuffle,
    "GlobalContext": _context,
    "ACmix": _acmix,
    "LSKA": _lska,
}
