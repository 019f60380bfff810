"""How foreign gates and mixtures of convolutions were built.

models/weights/upstream/attention.py has the table of all readers. What no shape shows is an
attribute of the foreign module, under the name that its authors gave it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from models.attention import build_attention
from models.weights.upstream.reading import (
    Options,
    Reader,
    Tensors,
    activation_of,
    attribute,
    child,
    count_of,
    flag,
    ratio,
    side_of,
    text,
)
from utils.errors import UserError
from utils.pickles.objects import PickledObject

COUNTS = (1, 2, 4, 8, 16, 32)
FREQUENCIES = tuple(f"{kind}{count}" for kind in ("top", "low", "bot") for count in COUNTS)


def _sge(_: PickledObject, state: Tensors) -> Options:
    return {"groups": state["weight"].shape[1]}


def _parnet(module: PickledObject, _: Tensors) -> Options:
    return {"activation": activation_of(module, ("silu", "relu"))}


def _epsa(module: PickledObject, state: Tensors) -> Options:
    kernels = [state[f"conv_{number}.weight"] for number in (1, 2, 3, 4)]
    # The first has all channels in the authors' code, but its groups are an option too.
    channels = attribute(child(module, "conv_1"), "in_channels") or kernels[0].shape[1]
    assert isinstance(channels, int)
    return {
        "out_channels": 4 * kernels[0].shape[0],
        "conv_kernels": [one.shape[-1] for one in kernels],
        "conv_groups": [channels // one.shape[1] for one in kernels],
        "stride": _stride(child(module, "conv_1")),
    }


def _stride(convolution: PickledObject) -> int | None:
    found = convolution.get("stride")
    first = found[0] if isinstance(found, (list, tuple)) and found else found
    return first if isinstance(first, int) else None


def _gct(module: PickledObject, _: Tensors) -> Options:
    return {
        "epsilon": attribute(module, "epsilon"),
        "mode": text(module.get("mode")),
        "after_relu": flag(module, "after_relu"),
    }


def _ela(module: PickledObject, state: Tensors) -> Options:
    channels, members_of_group, taps = state["conv.weight"].shape
    norms = [child(module, "gn"), child(child(module, "conv1x1"), "1")]
    groups = [attribute(norm, "num_groups") for norm in norms]
    return {
        "kernel_size": taps,
        "groups": channels // members_of_group,
        "num_groups": next(filter(None, groups), None),
        "bias": "conv.bias" in state,
    }


def _mlca(module: PickledObject, state: Tensors) -> Options:
    return {
        "local_size": attribute(module, "local_size"),
        "local_weight": attribute(module, "local_weight"),
    }


def _cpca(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "ca.fc1.weight")}


def _wrapped(_: PickledObject, state: Tensors) -> Options:
    return {"wrapped": "proj_1.weight" in state}


def _fca(_: PickledObject, state: Tensors) -> Options:
    basis = state["dct_layer.weight"]
    channels, rows, columns = basis.shape
    sizes: Options = {"dct_h": rows, "dct_w": columns, "reduction": ratio(state, "fc.0.weight")}
    return {**sizes, "freq_sel_method": _frequencies(basis, channels, sizes)}


def _frequencies(basis: Tensor, channels: int, sizes: Options) -> str | None:
    """The choice of frequencies whose waves a buffer has, or None."""
    for name in FREQUENCIES:
        try:
            ours = build_attention("FCA", channels, **sizes, freq_sel_method=name)  # type: ignore[arg-type]
        except UserError:  # too many for these channels
            continue
        if torch.allclose(ours.state_dict()["dct_layer.weight"], basis.float(), atol=1e-2):
            return name
    return None


def _caa(_: PickledObject, state: Tensors) -> Options:
    return {
        "h_kernel": side_of(state, "h_conv.conv.weight"),
        "v_kernel": state["v_conv.conv.weight"].shape[-2],
        "linear": "conv1.bn.weight" not in state,
    }


def _seam(_: PickledObject, state: Tensors) -> Options:
    return {"n": count_of(state, "DCovN."), "reduction": ratio(state, "fc.0.weight")}


def _multi_seam(_: PickledObject, state: Tensors) -> Options:
    return {
        "depth": count_of(state, "DCovN0.") - 2,  # the first two are a convolution and a norm
        "kernel": side_of(state, "DCovN0.3.0.fn.0.weight"),
        "patch": [side_of(state, f"DCovN{number}.0.weight") for number in range(3)],
        "reduction": ratio(state, "fc.0.weight"),
    }


def _mca(_: PickledObject, state: Tensors) -> Options:
    return {"no_spatial": "c_hw.weight" not in state}


def _scse(_: PickledObject, state: Tensors) -> Options:
    return {"reduction": ratio(state, "cSE.fc1.weight")}


def _ese(module: PickledObject, _: Tensors) -> Options:
    return {"add_maxpool": flag(module, "add_maxpool")}


GATE_READERS: Mapping[str, Reader] = {
    "EPSA": _epsa,
    "SGE": _sge,
    "ParNet": _parnet,
    "ParNetAttention": lambda module, state: {},
    "GCT": _gct,
    "ELA": _ela,
    "MLCA": _mlca,
    "CPCA": _cpca,
    "MSCA": _wrapped,
    "LKA": _wrapped,
    "FCA": _fca,
    "CAA": _caa,
    "SEAM": _seam,
    "MultiSEAM": _multi_seam,
    "MCA": _mca,
    "scSE": _scse,
    "eSE": _ese,
    "LSK": lambda module, state: {},
}
