"""What the tensors of gates do not show, and forms with other kernels than ours.

test_attention.py builds every module again from its tensors.
"""

from __future__ import annotations

import torch

from models.attention import build_attention
from models.weights.upstream.gates import GATE_READERS
from utils.pickles.objects import PickledObject

EMPTY = PickledObject("x", {})


def test_frequencies_are_told_by_the_waves_of_a_buffer() -> None:
    for name in ("top16", "low4", "bot32"):
        state = build_attention("FCA", 64, freq_sel_method=name).state_dict()
        half = {key: value.half() for key, value in state.items()}
        assert GATE_READERS["FCA"](EMPTY, half)["freq_sel_method"] == name
    state["dct_layer.weight"] = torch.zeros(64, 7, 7)
    assert GATE_READERS["FCA"](EMPTY, state)["freq_sel_method"] is None


def test_attributes_under_the_names_of_the_authors() -> None:
    norm = PickledObject("x", {"_modules": {"1": PickledObject("x", {"num_groups": 8})}})
    state = {"conv.weight": torch.zeros(64, 64, 1), "conv.bias": torch.zeros(64)}
    found = GATE_READERS["ELA"](PickledObject("x", {"_modules": {"conv1x1": norm}}), state)
    assert found == {"kernel_size": 1, "groups": 1, "num_groups": 8, "bias": True}
    conv = PickledObject("torch.nn.Conv2d", {"stride": (2, 2), "in_channels": 128})
    state = build_attention("EPSA", 64, conv_groups=[2, 2, 2, 2]).state_dict()
    found = GATE_READERS["EPSA"](PickledObject("x", {"_modules": {"conv_1": conv}}), state)
    assert (found["stride"], found["conv_groups"]) == (2, [4, 4, 4, 4])
    assert GATE_READERS["GCT"](EMPTY, {})["mode"] is None
