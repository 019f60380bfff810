"""What the tensors of rarer modules do not show.

test_attention.py builds every module again from its tensors.
"""

from __future__ import annotations

from models.attention import build_attention
from models.weights.upstream.rarer import RARER_READERS
from utils.pickles.objects import PickledObject


def test_attributes_under_the_names_of_the_authors() -> None:
    state = build_attention("MultiDilatelocalAttention", 64).state_dict()
    module = PickledObject("x", {"dilation": (2, 3), "num_heads": 4})
    found = RARER_READERS["MultiDilatelocalAttention"](module, state)
    assert (found["dilation"], found["num_heads"], found["kernel_size"]) == ([2, 3], 4, None)
    assert (
        RARER_READERS["MultiDilatelocalAttention"](PickledObject("x", {}), state)["dilation"]
        is None
    )


def test_widths_of_queries_and_keys_by_the_shapes() -> None:
    state = build_attention("SHSA", 64, qk_dim=8, pdim=20).state_dict()
    found = RARER_READERS["SHSA"](PickledObject("x", {}), state)
    assert found == {"pdim": 20, "qk_dim": 8}
