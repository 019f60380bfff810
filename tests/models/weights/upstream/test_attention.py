"""Arguments of foreign attention, from attributes and shapes, or else from the YAML."""

from __future__ import annotations

import pytest
import torch

from models.attention import ATTENTION, build_attention
from models.weights.pickles.objects import PickledObject
from models.weights.upstream.attention import READERS, read_arguments

CASES = {
    "SE": {"reduction": 8, "bias": True},
    "CBAM": {"reduction": 8, "kernel_size": 3},
    "ECA": {"k_size": 7},
    "GAM": {"rate": 2},
    "CoordAttention": {"reduction": 4},
    "TripletAttention": {"no_spatial": True},
    "DoubleAttention": {"c_m": 8, "c_n": 4, "residual": False},
    "BAM": {"reduction": 8},
    "LSKA": {"k_size": 11},
    "GlobalContext": {"ratio": 0.25, "fusion": ["channel_mul"]},
    "ACmix": {"out_channels": 32},
    "NAM": {},
}


@pytest.mark.parametrize(("name", "options"), CASES.items())
def test_what_was_built_is_built_again(name: str, options: dict[str, object]) -> None:
    module = build_attention(name, 32, **options)
    found = read_arguments(name, PickledObject("x", {}), module.state_dict(), [512])
    again = build_attention(name, 32, **found)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in module.state_dict().items()
    }
    assert all(found[key] == value for key, value in options.items() if key in found)


def test_attributes_of_the_instance_and_the_row_where_nothing_tells() -> None:
    assert read_arguments("SimAM", PickledObject("x", {"e_lambda": 0.1}), {}, [512]) == {
        "e_lambda": 0.1
    }
    assert read_arguments("EMA", PickledObject("x", {"groups": 8}), {}, []) == {"factor": 8}
    assert read_arguments("ShuffleAttention", PickledObject("x", {"G": 4}), {}, []) == {"groups": 4}
    assert read_arguments("SK", PickledObject("x", {}), {}, [512]) == [512]
    assert read_arguments("SE", PickledObject("x", {}), {"other": torch.zeros(1)}, [512]) == [512]
    assert set(READERS) <= set(ATTENTION)
