"""What the tensors of attention between positions do not show, and its position codes.

test_attention.py builds every module again from its tensors.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention import build_attention
from models.weights.upstream.tokens import TOKEN_READERS
from utils.pickles.objects import PickledObject

EMPTY = PickledObject("x", {})


def test_attributes_under_the_names_of_the_authors() -> None:
    router = PickledObject("x", {"topk": 2})
    module = PickledObject("x", {"n_win": 8, "_modules": {"router": router}})
    state = {"lepe.weight": torch.zeros(64, 1, 5, 5)}
    found = TOKEN_READERS["BiLevelRoutingAttention"](module, state)
    assert (found["n_win"], found["topk"], found["side_dwconv"]) == (8, 2, 5)
    values = PickledObject("x", {"_modules": {"act": PickledObject("torch.nn.Tanh", {})}})
    module = PickledObject("x", {"window_size": 5, "_modules": {"v": values}})
    found = TOKEN_READERS["iRMB"](module, build_attention("iRMB", 64).state_dict())
    assert (found["window"], found["act"]) == (5, None)


@pytest.mark.parametrize(
    "options",
    [
        {"dwc_pe": False, "q_size": [5, 4]},
        {"dwc_pe": False, "log_cpb": True},
        {"use_pe": True},
        {"use_pe": False},
    ],
)
def test_position_codes_are_told_by_their_table(options: dict[str, Any]) -> None:
    state = build_attention("DAttention", 64, **options).state_dict()
    found = TOKEN_READERS["DAttention"](EMPTY, state)
    names = ("use_pe", "dwc_pe", "log_cpb", "q_size")
    assert {key: found[key] for key in names if key in found} == options


def test_a_single_level_has_no_step_between_windows() -> None:
    state = build_attention("FocalModulation", 64, focal_level=1).state_dict()
    assert TOKEN_READERS["FocalModulation"](EMPTY, state)["focal_factor"] is None


def test_the_name_of_a_class_where_nothing_else_tells() -> None:
    state = build_attention("PolarizedSelfAttention", 64, form="paper").state_dict()
    read = TOKEN_READERS["PolarizedSelfAttention"]
    assert read(PickledObject("x.ParallelPolarizedSelfAttention", {}), state)["mode"] == "parallel"
    assert read(PickledObject("x.SequentialPolarizedSelfAttention", {}), state)["mode"] is None
