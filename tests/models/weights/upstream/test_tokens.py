"""What the tensors of attention between positions do not show, and its position codes.

test_attention.py builds every module again from its tensors.
"""

from __future__ import annotations

import pytest
import torch

from models.attention import build_attention
from models.weights.pickles.objects import PickledObject
from models.weights.upstream.tokens import TOKEN_READERS

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
    ("position", "expected"),
    [
        ("rpe", {"position": "rpe", "q_size": [5, 4]}),
        ("log_cpb", {"position": "log_cpb"}),
        ("dwc_pe", {"position": "dwc_pe"}),
        ("none", {"position": "none"}),
    ],
)
def test_position_codes_are_told_by_their_table(position: str, expected: dict[str, object]) -> None:
    size = {"q_size": expected["q_size"]} if "q_size" in expected else {}
    state = build_attention("DAttention", 64, position=position, **size).state_dict()
    found = TOKEN_READERS["DAttention"](EMPTY, state)
    assert {key: found[key] for key in ("position", "q_size") if key in found} == expected


def test_a_single_level_has_no_step_between_windows() -> None:
    state = build_attention("FocalModulation", 64, focal_level=1).state_dict()
    assert TOKEN_READERS["FocalModulation"](EMPTY, state)["focal_factor"] is None


def test_the_name_of_a_class_where_nothing_else_tells() -> None:
    state = build_attention("PolarizedSelfAttention", 64, form="paper").state_dict()
    read = TOKEN_READERS["PolarizedSelfAttention"]
    assert read(PickledObject("x.ParallelPolarizedSelfAttention", {}), state)["mode"] == "parallel"
    assert read(PickledObject("x.SequentialPolarizedSelfAttention", {}), state)["mode"] is None
