"""Attributes, children and shapes of foreign modules."""

from __future__ import annotations

import torch

from models.weights.upstream.reading import (
    activation_of,
    attribute,
    child,
    count_of,
    flag,
    ratio,
    side_of,
    text,
)
from utils.pickles.objects import PickledObject


def test_attributes_of_the_right_type_only() -> None:
    inner = PickledObject("y", {"heads": 3})
    module = PickledObject("x", {"a": "8", "b": 4, "on": True, "_modules": {"inner": inner}})
    assert attribute(module, "a", "b") == 4
    assert attribute(module, "on") is None
    assert flag(module, "b", "on") is True
    assert flag(module, "b") is None
    assert (text(module.get("a")), text(4)) == ("8", None)
    assert child(module, "inner") is inner
    assert attribute(child(module, "missing"), "heads") is None
    act = PickledObject("z", {"_modules": {"any": PickledObject("torch.nn.SiLU", {})}})
    assert activation_of(act, ("relu", "silu")) == "silu"
    assert activation_of(act, ("relu",)) is None


def test_shapes() -> None:
    state = {"m.0.weight": torch.zeros(4, 64, 1, 5), "m.2.weight": torch.zeros(8, 4)}
    assert ratio(state, "m.0.weight") == 16
    assert ratio(state, "m.2.weight") == 1
    assert side_of(state, "m.0.weight") == 5
    assert count_of(state, "m.") == 2
