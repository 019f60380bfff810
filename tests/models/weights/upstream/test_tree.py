"""A foreign network as a tree, and its options as plain values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from models.weights.upstream.tree import (
    activation_text,
    check_attributes,
    check_shared,
    plain_value,
    read_tree,
)
from utils.errors import UserError
from utils.pickles.objects import PickledArray, PickledObject


def test_keys_come_in_the_order_of_state_dicts() -> None:
    inner = PickledObject(
        "torch.nn.Conv2d", {"_parameters": {"weight": torch.ones(2), "bias": None}}
    )
    state = {
        "_buffers": {"anchors": torch.zeros(1), "grid": torch.zeros(5)},
        "_non_persistent_buffers_set": {"grid"},
    }
    tree = read_tree(
        PickledObject("models.yolo.Detect", {**state, "_modules": {"m": inner, "none": None}})
    )
    assert list(tree.state) == ["anchors", "m.weight"]
    assert list(tree.modules) == ["", "m"]


def test_names_with_dots_and_endless_names_are_refused() -> None:
    for name in ("a.b", "a" * 1000, 3):
        with pytest.raises(UserError, match="not names"):
            read_tree(PickledObject("x", {"_modules": {name: PickledObject("y", {})}}))
    with pytest.raises(UserError, match="where a tensor is needed"):
        read_tree(PickledObject("x", {"_parameters": {"w": 1}}))


def test_tensors_that_share_values_are_refused() -> None:
    one = torch.zeros(10)
    check_shared({"a": one[:5], "b": one[5:]})
    with pytest.raises(UserError, match="share their values"):
        check_shared({"a": one, "b": one})


def test_plain_values() -> None:
    given = {
        "a": (1, 2.5),
        "b": PickledObject("utils.Options", {"c": None}),
        "d": PickledArray(np.arange(3)),
        (1,): "dropped",
    }
    assert plain_value(given) == {"a": [1, 2.5], "b": {"c": None}, "d": [0, 1, 2]}
    with pytest.raises(UserError, match="where text or a number is needed"):
        plain_value({"a": torch.zeros(1)})
    twice: list[object] = []
    for _ in range(40):
        twice = [twice, twice]
    with pytest.raises(UserError, match="too large"):
        plain_value(twice)


def test_attributes_are_compared_in_any_spelling() -> None:
    check_attributes(
        "row 1",
        nn.MaxPool2d(5, 1, 2),
        PickledObject("x", {"kernel_size": (5, 5), "stride": 1, "padding": 2}),
    )
    check_attributes(
        "row 1",
        nn.Upsample(scale_factor=2),
        PickledObject("x", {"scale_factor": 2.0, "mode": "nearest"}),
    )
    check_attributes("row 1", nn.MaxPool2d(5, 1, 2), PickledObject("x", {}))
    with pytest.raises(UserError, match=r"row 1: kernel_size is \(3, 3\)"):
        check_attributes(
            "row 1", nn.MaxPool2d(5, 1, 2), PickledObject("x", {"kernel_size": (3, 3)})
        )


def test_activations_as_text() -> None:
    assert (
        activation_text(PickledObject("torch.nn.modules.activation.SiLU", {"inplace": True}))
        == "nn.SiLU()"
    )
    leaky = PickledObject("torch.nn.modules.activation.LeakyReLU", {"negative_slope": 0.1})
    assert activation_text(leaky) == "nn.LeakyReLU(0.1)"
