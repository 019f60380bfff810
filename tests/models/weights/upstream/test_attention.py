"""Arguments of foreign attention, from attributes and shapes, or else from the YAML."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from models.attention import ATTENTION, build_attention
from models.weights.upstream.attention import READERS, read_arguments
from utils.pickles.objects import PickledObject

# Options other than the defaults, of modules for 64 channels.
CASES: dict[str, list[dict[str, Any]]] = {
    "SE": [{"reduction": 8, "bias": True}],
    "CBAM": [
        {"reduction": 8, "kernel_size": 3},
        {"no_spatial": True},
        {"formula": "plain", "bias": True, "conv_bias": True},
        {"formula": "ultralytics", "kernel_size": 3},
    ],
    "ECA": [{"k_size": 7, "bias": True}],
    "GAM": [{"rate": 2, "group": True}, {"padding_mode": "replicate"}],
    "CoordAttention": [{"reduction": 4}],
    "TripletAttention": [{"no_spatial": True, "kernel_size": 5}],
    "DoubleAttention": [
        {"c_m": 8, "c_n": 4, "residual": False},
        {"c_m": 64, "reconstruct": False, "residual": False},
    ],
    "BAM": [{"reduction": 8}],
    "LSKA": [{"k_size": 11}],
    "GlobalContext": [{"ratio": 0.25, "fusion": ["channel_mul"]}, {"pooling": "avg"}],
    "ACmix": [{"out_channels": 32, "kernel_att": 5, "head": 2}],
    "NAM": [{}],
    "SimAM": [{"e_lambda": 1e-3}],
    "EMA": [{"factor": 16}],
    "ShuffleAttention": [{"groups": 4}],
    "SKAttention": [{"kernels": [1, 3], "group": 2, "L": 16}],
    "SK": [{"groups": 8, "rd_channels": 24}],
    "LSK": [{}],
    "MHSA": [
        {"heads": 2},
        {"heads": 2, "pos_emb": True, "width": 6, "height": 5},
        {"heads": 2, "pos_emb": "relative", "width": 6, "height": 5},
    ],
    "CoT": [{"kernel_size": 5}],
    "CoTAttention": [{"kernel_size": 5}],
    "PolarizedSelfAttention": [{"mode": "parallel"}, {"form": "paper"}],
    "EPSA": [{"conv_kernels": [3, 3, 5, 5], "conv_groups": [1, 2, 2, 4], "stride": 2}],
    "SGE": [{"groups": 4}],
    "ParNet": [{"activation": "relu"}],
    "ParNetAttention": [{}],
    "CrissCross": [{"recurrence": 2}],
    "GCT": [{"epsilon": 1e-3, "mode": "l1", "after_relu": True}],
    "ELA": [{"kernel_size": 5, "groups": 8, "num_groups": 32, "bias": True}],
    "MLCA": [{"local_size": 3, "gamma": 1, "b": 0, "local_weight": 0.25}],
    "CPCA": [{"reduction": 8}],
    "MSCA": [{"wrapped": True}, {}],
    "LKA": [{"wrapped": True}, {}],
    "PositionAttention": [{}],
    "ChannelAttention": [{}],
    "FCA": [
        {"dct_h": 7, "dct_w": 14, "reduction": 8, "freq_sel_method": "low8"},
        {"freq_sel_method": "bot4"},
    ],
    "CAA": [{"h_kernel": 5, "v_kernel": 7}, {"linear": True}],
    "SEAM": [{"n": 2, "reduction": 8}],
    "MultiSEAM": [{"depth": 2, "kernel": 5, "patch": [1, 2, 3], "reduction": 8}],
    "MCA": [{"no_spatial": True}],
    "iRMB": [
        {"exp_ratio": 2.0, "window": 3, "dim_head": 16, "dw_ks": 5, "attn_pre": True},
        {"act": "silu"},
        {"attn": False},
    ],
    "ExternalAttention": [{"S": 32}, {"S": 8, "mode": "core"}],
    "scSE": [{"reduction": 4}],
    "eSE": [{"add_maxpool": True}],
    "NonLocal": [
        {"inter": 16, "mode": "dot_product", "sub_sample": False, "bn": False},
        {"mode": "gaussian"},
    ],
    "S2Attention": [{}],
    "FocalModulation": [
        {"focal_window": 5, "focal_level": 3, "focal_factor": 4, "postln": True},
        {"focal_level": 1, "normalize_modulator": True},
    ],
    "BiLevelRoutingAttention": [{"num_heads": 4, "n_win": 3, "topk": 2, "side_dwconv": 5}],
    "AAttn": [{"num_heads": 4, "area": 2}],
    "ABlock": [{"num_heads": 4, "mlp_ratio": 2.0, "area": 2}],
    "AgentAttention": [
        {"num_heads": 4, "agent_num": 9, "input_resolution": [5, 6], "kernel_size": 5}
    ],
    "DAttention": [
        {"n_heads": 4, "n_groups": 2, "ksize": 5, "offset_range_factor": 2},
        {"dwc_pe": False, "q_size": [6, 5]},
        {"dwc_pe": False, "fixed_pe": True, "q_size": [6, 5]},
        {"dwc_pe": False, "log_cpb": True},
        {"no_off": True, "stride": 2},
        {"use_pe": False},
    ],
    "CAFMAttention": [{"num_heads": 4, "bias": True, "residual": True}],
    "ContextAggregation": [{"reduction": 2}],
    "DeformableLKA": [{}],
    "MultiDilatelocalAttention": [{"num_heads": 4, "dilation": [1, 2], "qkv_bias": True}],
    "HSFPNChannelAttention": [{"ratio": 8, "flag": False}],
    "LocalWindowAttention": [
        {"key_dim": 8, "num_heads": 2, "window_resolution": 3, "kernels": [3, 5]}
    ],
    "MLLAttention": [{"num_heads": 4, "qkv_bias": False}],
    "SCSA": [{"head_num": 4, "window_size": 3, "group_kernel_sizes": [3, 3, 5, 5]}],
    "SELayerV2": [{"reduction": 16}],
    "SHSA": [{"qk_dim": 8, "pdim": 20}],
    "SOCA": [{"reduction": 4}],
}
# What no shape shows, as the foreign module has it.
ATTRIBUTES: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "SimAM": lambda options: options,
    "ACmix": lambda options: options,
    "GAM": lambda options: {"_modules": {"conv1": convolution(options)}},
    "MHSA": lambda options: {"heads": options["heads"]},
    "EPSA": lambda options: {"_modules": {"conv_1": convolution(options, in_channels=64)}},
    "ParNet": lambda options: {"_modules": {"nonlinearity": PickledObject("torch.nn.ReLU", {})}},
    "CrissCross": lambda options: options,
    "GCT": lambda options: options,
    "ELA": lambda options: {"_modules": {"gn": PickledObject("x", options)}},
    "MLCA": lambda options: options,
    "iRMB": lambda options: {
        **{"window_size": options.get("window"), "attn_pre": options.get("attn_pre", False)},
        **{"dim_head": options.get("dim_head")},
        "_modules": {"v": PickledObject("x", {"_modules": {"act": activation(options)}})},
    },
    "eSE": lambda options: options,
    "NonLocal": lambda options: options,
    "FocalModulation": lambda options: options,
    "BiLevelRoutingAttention": lambda options: options,
    "AAttn": lambda options: options,
    "ABlock": lambda options: {"_modules": {"attn": PickledObject("x", options)}},
    "DAttention": lambda options: {
        **options,
        **dict(zip(("q_h", "q_w"), options.get("q_size", ()), strict=False)),
    },
    "CAFMAttention": lambda options: options,
    "MultiDilatelocalAttention": lambda options: options,
    "HSFPNChannelAttention": lambda options: options,
    "MLLAttention": lambda options: options,
    "SCSA": lambda options: options,
}


def convolution(options: dict[str, Any], **attributes: object) -> PickledObject:
    known = {key: options[key] for key in ("stride", "padding_mode") if key in options}
    return PickledObject("torch.nn.Conv2d", {**known, **attributes})


def activation(options: dict[str, Any]) -> PickledObject:
    name = {"silu": "SiLU", "relu": "ReLU"}[options.get("act", "relu")]
    return PickledObject(f"torch.nn.{name}", {})


PAIRS = [(name, options) for name, listed in CASES.items() for options in listed]


@pytest.mark.parametrize(("name", "options"), PAIRS)
def test_what_was_built_is_built_again(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    module = build_attention(name, 64, **options).eval()
    # Values other than the initial ones, for the zeros and ones among them would hide a difference.
    moved = dict(module.named_parameters())
    state = {
        key: value + 0.1 * torch.rand_like(value) if key in moved else value
        for key, value in module.state_dict().items()
    }
    module.load_state_dict(state)
    foreign = PickledObject("x", ATTRIBUTES.get(name, lambda options: {})(options))
    found = read_arguments(name, foreign, state, ["unread"], 64)
    assert isinstance(found, dict)
    again = build_attention(name, 64, **found).eval()
    again.load_state_dict(state)
    x = torch.randn(2, 64, 6, 5)
    assert torch.equal(again(x), module(x))


def test_every_attention_module_has_a_reader() -> None:
    assert set(CASES) == set(READERS) == {kind.__name__ for kind in ATTENTION.values()}


def test_attributes_of_the_instance_and_the_row_where_nothing_tells() -> None:
    assert read_arguments("SimAM", PickledObject("x", {"e_lambda": 0.1}), {}, [512]) == {
        "e_lambda": 0.1
    }
    assert read_arguments("EMA", PickledObject("x", {"groups": 8}), {}, []) == {"factor": 8}
    assert read_arguments("ShuffleAttention", PickledObject("x", {"G": 4}), {}, []) == {"groups": 4}
    assert read_arguments("SE", PickledObject("x", {}), {"other": torch.zeros(1)}, [512]) == [512]
