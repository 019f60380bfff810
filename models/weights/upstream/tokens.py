"""How foreign modules that let positions attend to each other were built.

models/weights/upstream/attention.py has the table of all readers. What no shape shows is an
attribute of the foreign module, under the name that its authors gave it.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.weights.upstream.reading import (
    Options,
    Reader,
    Tensors,
    activation_of,
    attribute,
    child,
    count_of,
    flag,
    side_of,
    text,
)
from models.weights.upstream.tree import class_name_of
from utils.pickles.objects import PickledObject


def _mhsa(module: PickledObject, state: Tensors) -> Options:
    if "rel_emb_w" in state:
        sides = [(state[key].shape[0] + 1) // 2 for key in ("rel_emb_w", "rel_emb_h")]
        heads = state["query.weight"].shape[0] // state["rel_emb_w"].shape[1]
        return {"heads": heads, "pos_emb": "relative", "height": sides[0], "width": sides[1]}
    if "rel_h_weight" not in state:
        return {"heads": attribute(module, "heads", "num_heads"), "pos_emb": False}
    down, across = state["rel_h_weight"].shape, state["rel_w_weight"].shape
    return {"heads": down[1], "pos_emb": True, "width": across[3], "height": down[4]}


def _cot(_: PickledObject, state: Tensors) -> Options:
    return {"kernel_size": side_of(state, "key_embed.0.weight")}


def _polarized(module: PickledObject, state: Tensors) -> Options:
    if "ch_wq.weight" in state:  # only the names of the classes tell the two of this form apart
        is_parallel = class_name_of(module).startswith("Parallel")
        return {"form": "paper", "mode": "parallel" if is_parallel else None}
    return {"form": "code", "mode": "parallel" if "conv_up.weight" in state else "sequential"}


def _criss_cross(module: PickledObject, _: Tensors) -> Options:
    return {"recurrence": attribute(module, "recurrence")}


def _irmb(module: PickledObject, state: Tensors) -> Options:
    inside, channels = state["v.conv.weight"].shape[:2]
    return {
        "exp_ratio": inside / channels,
        "window": attribute(module, "window", "window_size"),
        "dim_head": attribute(module, "dim_head"),
        "dw_ks": side_of(state, "conv_local.conv.weight"),
        "attn_pre": flag(module, "attn_pre"),
        "act": activation_of(child(module, "v"), ("relu", "silu", "gelu")),
        "attn": "qk.conv.weight" in state,
    }


def _external(_: PickledObject, state: Tensors) -> Options:
    if "mk.weight" in state:
        return {"mode": "core", "S": state["mk.weight"].shape[0]}
    return {"mode": "block", "S": state["linear_0.weight"].shape[0]}


def _non_local(module: PickledObject, state: Tensors) -> Options:
    pooled = "g.0.weight" in state
    mode = text(module.get("mode")) if "theta.weight" in state else "gaussian"
    return {
        "inter": state["g.0.weight" if pooled else "g.weight"].shape[0],
        "mode": mode,
        "sub_sample": pooled,
        "bn": "W.1.weight" in state,
    }


def _focal(module: PickledObject, state: Tensors) -> Options:
    levels = count_of(state, "focal_layers.")
    sides = [side_of(state, f"focal_layers.{level}.0.weight") for level in range(levels)]
    return {
        "focal_window": sides[0],
        "focal_level": levels,
        "focal_factor": sides[1] - sides[0] if levels > 1 else None,
        "normalize_modulator": flag(module, "normalize_modulator"),
        "postln": "ln.weight" in state,
    }


def _bi_level(module: PickledObject, state: Tensors) -> Options:
    return {
        "num_heads": attribute(module, "num_heads"),
        "n_win": attribute(module, "n_win"),
        "topk": attribute(module, "topk") or attribute(child(module, "router"), "topk"),
        "side_dwconv": side_of(state, "lepe.weight"),
        "auto_pad": flag(module, "auto_pad"),
    }


def _area(module: PickledObject, _: Tensors) -> Options:
    return {"num_heads": attribute(module, "num_heads"), "area": attribute(module, "area")}


def _area_block(module: PickledObject, state: Tensors) -> Options:
    hidden, channels = state["mlp.0.conv.weight"].shape[:2]
    # Half a channel more, so that rounding down gives the number again.
    return {**_area(child(module, "attn"), state), "mlp_ratio": (hidden + 0.5) / channels}


def _agent(module: PickledObject, state: Tensors) -> Options:
    heads, agents = state["an_bias"].shape[:2]
    return {
        "num_heads": heads,
        "agent_num": agents,
        "input_resolution": [state["ah_bias"].shape[3], state["aw_bias"].shape[4]],
        "kernel_size": side_of(state, "dwc.weight"),
    }


def _deformable(module: PickledObject, state: Tensors) -> Options:
    channels = state["proj_q.weight"].shape[0]
    stride = attribute(module, "stride")
    return {
        "n_heads": attribute(module, "n_heads"),
        "n_groups": channels // state["conv_offset.0.weight"].shape[0],
        "stride": stride,
        "offset_range_factor": attribute(module, "offset_range_factor"),
        "ksize": side_of(state, "conv_offset.0.weight"),
        **_position(module, state),
    }


def _position(module: PickledObject, state: Tensors) -> Options:
    """The position code of deformable attention, and the size of map that a table needs."""
    if flag(module, "no_off"):
        return {"no_off": True}
    if "rpe_table.0.weight" in state:
        return {"dwc_pe": False, "log_cpb": True}
    table = state.get("rpe_table")
    if table is None:
        return {"use_pe": "rpe_table.weight" in state}
    height, width = attribute(module, "q_h"), attribute(module, "q_w")
    if flag(module, "fixed_pe"):
        return {"dwc_pe": False, "fixed_pe": True, "q_size": [height, width]}
    return {"dwc_pe": False, "q_size": [(side + 1) // 2 for side in table.shape[1:]]}


TOKEN_READERS: Mapping[str, Reader] = {
    "MHSA": _mhsa,
    "CoT": _cot,
    "CoTAttention": _cot,
    "PolarizedSelfAttention": _polarized,
    "CrissCross": _criss_cross,
    "PositionAttention": lambda module, state: {},
    "ChannelAttention": lambda module, state: {},
    "iRMB": _irmb,
    "ExternalAttention": _external,
    "NonLocal": _non_local,
    "S2Attention": lambda module, state: {},
    "FocalModulation": _focal,
    "BiLevelRoutingAttention": _bi_level,
    "AAttn": _area,
    "ABlock": _area_block,
    "AgentAttention": _agent,
    "DAttention": _deformable,
}
