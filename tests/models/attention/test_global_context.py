"""GlobalContext: golden values, its hand-written backward, its start as the identity, and what it
refuses.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from models.attention._arguments import read_list
from models.attention.fast.global_context import fast_context
from models.attention.global_context import GlobalContext
from tests.models.attention.golden import Golden, draws

OPTIONS: dict[str, dict[str, Any]] = {
    "official": {},
    "mul_add": {"fusion": ["channel_add", "channel_mul"]},
    "avg": {"pooling": "avg"},
}
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("official", "20x20"),
        ("official", "7x13"),
        ("official", "1x1"),
        ("mul_add", "7x13"),
        ("avg", "7x13"),
    ],
)
def test_golden(variant: str, size: str) -> None:
    Golden("global_context").check(GlobalContext(32, ratio=0.25, **OPTIONS[variant]), variant, size)


@LAYOUTS
def test_hand_written_gradients(layout: torch.memory_format) -> None:
    x = draws(1, 2, 3, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    mask = nn.Conv2d(3, 1, 1).double()
    weights = mask(x).flatten(2).softmax(2)
    expected = (x.flatten(2) * weights).sum(2)[:, :, None, None]
    torch.testing.assert_close(fast_context(x, mask), expected)
    assert torch.autograd.gradcheck(
        lambda x, *_: fast_context(x, mask), (x, mask.weight, mask.bias)
    )
    (grad,) = torch.autograd.grad(fast_context(x, mask).sum(), x)
    assert grad.is_contiguous(memory_format=layout)


@LAYOUTS
def test_a_new_module_changes_nothing(layout: torch.memory_format) -> None:
    x = draws(2, 2, 32, 5, 6).contiguous(memory_format=layout)
    assert torch.equal(GlobalContext(32)(x), x)
    torch.testing.assert_close(GlobalContext(32, fusion=["channel_add", "channel_mul"])(x), x / 2)
    assert GlobalContext(32)(x).is_contiguous(memory_format=layout)


def test_every_parameter_but_the_dead_one_learns() -> None:
    module = GlobalContext(32, ratio=0.5, fusion=["channel_add", "channel_mul"])
    for seed, value in enumerate(module.parameters()):
        value.data = draws(seed, *value.shape)
    (module(draws(3, 2, 32, 5, 6)) * draws(4, 2, 32, 5, 6)).sum().backward()
    dead = [
        name
        for name, value in module.named_parameters()
        if value.grad is None or not value.grad.any()
    ]
    assert dead == list(GlobalContext.dead_parameters)
    assert module.conv_mask is not None
    assert module.conv_mask.bias is not None
    assert module.conv_mask.bias.grad is not None


@pytest.mark.parametrize(
    ("channels", "ratio", "hidden"),
    [(256, None, 16), (256, 0.25, 64), (32, None, 4), (2, None, 2), (8, 1, 8), (100, 0.125, 12)],
)
def test_hidden_channels(channels: int, ratio: float | None, hidden: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module = GlobalContext(channels, ratio=ratio)
    assert module.state_dict()["channel_add_conv.0.weight"].shape == (hidden, channels, 1, 1)


def test_one_hidden_channel_is_warned_of() -> None:
    with pytest.warns(
        UserWarning, match=r"ratio=0.0625: leaves 1 hidden channel of 16.*write ratio: 0.25"
    ):
        GlobalContext(16, ratio=1 / 16)


def test_lists_of_tutorials() -> None:
    assert read_list(GlobalContext, [256], 256, int) == ({}, "")
    assert read_list(GlobalContext, [256, 0.25], 256, int) == ({"ratio": 0.25}, "")
    assert read_list(GlobalContext, [0.25], 256, int) == ({"ratio": 0.25}, "")


@pytest.mark.parametrize(
    "options",
    [
        {"ratio": 0},
        {"ratio": 1.5},
        {"ratio": 16},
        {"ratio": True},
        {"ratio": float("nan")},
        {"ratio": "1/16"},
        {"pooling": "max"},
        {"pooling": None},
        {"fusion": []},
        {"fusion": "add"},
        {"fusion": ["channel_add", "mul"]},
        {"fusion": 3},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        GlobalContext(32, **options)
