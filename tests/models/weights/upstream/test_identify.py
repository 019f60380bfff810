"""Which attention module some tensors are of."""

from __future__ import annotations

import pytest
import torch

from models.attention import build_attention
from models.weights.upstream.identify import identify
from utils.pickles.objects import PickledObject

# Modules whose tensors no other has, if the class is unknown.
ALONE = [
    *("ACmix", "AgentAttention", "BAM", "BiLevelRoutingAttention", "CAA", "CBAM", "CoT", "CPCA"),
    *("CoTAttention", "CoordAttention", "DAttention", "ECA", "ELA", "EPSA", "ExternalAttention"),
    *("FCA", "FocalModulation", "GAM", "GCT", "LKA", "LSK", "LSKA", "MCA", "MHSA", "MLCA"),
    *("MSCA", "MultiSEAM", "NonLocal", "ParNet", "ParNetAttention", "PolarizedSelfAttention"),
    *("S2Attention", "SE", "SEAM", "SGE", "SK", "SKAttention", "TripletAttention", "iRMB", "scSE"),
]
ANY_WIDTH = ("ECA", "MCA", "MLCA", "SGE", "TripletAttention")  # fit other channels too


@pytest.mark.parametrize("name", ALONE)
def test_an_unknown_class_is_known_by_its_tensors(name: str) -> None:
    state = build_attention(name, 64).state_dict()
    found = identify(state, (), 64)
    assert found is not None
    assert found.name == name
    assert found.translate(state).keys() == state.keys()
    if name not in ANY_WIDTH:
        assert identify(state, (), 48) is None


def test_channels_are_tried_where_they_are_not_known() -> None:
    found = identify(build_attention("GAM", 64).state_dict(), ())
    assert found is not None
    assert (found.name, found.options["rate"]) == ("GAM", 4)


def test_a_name_decides_among_modules_with_the_same_tensors() -> None:
    state = build_attention("CrissCross", 64).state_dict()
    assert identify(state, (), 64) is None  # PositionAttention has them too
    for name in ("CrissCross", "PositionAttention"):
        found = identify(state, (name,), 64)
        assert found is not None
        assert found.name == name


def test_tensors_decide_over_a_name() -> None:
    found = identify(build_attention("CoTAttention", 64).state_dict(), ("CoT",), 64)
    assert found is not None
    assert found.name == "CoTAttention"


def test_forms_are_translated_and_attributes_read() -> None:
    state = {"l1.weight": torch.zeros(4, 64), "l2.weight": torch.zeros(64, 4)}
    found = identify(state, (), 64)
    assert found is not None
    assert (found.name, found.options) == ("SE", {"reduction": 16, "bias": False})
    assert set(found.translate(state)) == {"fc.0.weight", "fc.2.weight"}
    assert found.paths() == {"fc.0": "l1", "fc.2": "l2"}
    module = PickledObject("x", {"heads": 8})
    heads = identify(build_attention("MHSA", 64).state_dict(), (), 64, module)
    assert heads is not None
    assert heads.options["heads"] == 8


def test_what_is_of_none() -> None:
    assert identify({}, ("SimAM",), 64) is None
    assert identify({"weight": torch.zeros(3, 5)}, (), 64) is None
    wrong = {"l1.weight": torch.zeros(4, 64), "l2.weight": torch.zeros(64, 5)}
    assert identify(wrong, (), 64) is None
