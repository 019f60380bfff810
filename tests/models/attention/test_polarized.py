"""PolarizedSelfAttention: golden values, plain calculations of all four forms, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.polarized import PolarizedSelfAttention
from tests.models.attention.golden import Golden, assert_same_gradients, draws
from tests.models.attention.plain import force_plain

GOLDEN = Golden("polarized")
FORMS = pytest.mark.parametrize("form", ["code", "paper"])
MODES = pytest.mark.parametrize("mode", ["sequential", "parallel"])


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    ("variant", "form", "mode", "size"),
    [
        ("sequential", "code", "sequential", "20x20"),
        ("sequential", "code", "sequential", "7x13"),
        ("sequential", "code", "sequential", "1x1"),
        ("parallel", "code", "parallel", "7x13"),
        ("ea_sequential", "paper", "sequential", "7x13"),
        ("ea_parallel", "paper", "parallel", "7x13"),
    ],
)
def test_golden(
    variant: str, form: str, mode: str, size: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plain:
        force_plain(monkeypatch)
    GOLDEN.check(PolarizedSelfAttention(32, mode=mode, form=form), variant, size)


def softmax(logits: Tensor, dim: Any) -> Tensor:
    return logits.exp() / logits.exp().sum(dim, keepdim=True)


def channel_gate(module: PolarizedSelfAttention, x: Tensor) -> Tensor:
    """Queries and values of every position, as the equations have them."""
    if module.form == "code":
        weights = softmax(module.conv_q_right(x), (2, 3))
        summed = (weights * module.conv_v_right(x)).sum((2, 3), keepdim=True)
        return module.conv_up(summed).sigmoid()
    weights = softmax(module.ch_wq(x), (2, 3))
    z = module.ch_wz((weights * module.ch_wv(x)).sum((2, 3), keepdim=True))
    z = z - z.mean(1, keepdim=True)
    z = z / (z.square().mean(1, keepdim=True) + module.ln.eps).sqrt()
    return (z * module.ln.weight[:, None, None] + module.ln.bias[:, None, None]).sigmoid()


def position_gate(module: PolarizedSelfAttention, x: Tensor) -> Tensor:
    if module.form == "paper":
        shares = softmax(module.sp_wq(x).mean((2, 3), keepdim=True), 1)
        return (shares * module.sp_wv(x)).sum(1, keepdim=True).sigmoid()
    means = module.conv_q_left(x).mean((2, 3), keepdim=True)
    values = module.conv_v_left(x)
    if module.mode == "parallel":
        return softmax((means * values).sum(1, keepdim=True), (2, 3)).sigmoid()
    return (means * softmax(values, (2, 3))).sum(1, keepdim=True).sigmoid()


def listing(module: PolarizedSelfAttention, x: Tensor) -> Tensor:
    y = x * channel_gate(module, x)
    if module.mode == "parallel":
        return y + x * position_gate(module, x)
    return y * position_gate(module, y)


@FORMS
@MODES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [8, 5])
def test_plain_calculation(
    form: str, mode: str, layout: torch.memory_format, channels: int
) -> None:
    module = PolarizedSelfAttention(channels, mode=mode, form=form).double()
    x = draws(1, 2, channels, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@FORMS
@MODES
def test_half_precision_and_a_single_position(form: str, mode: str) -> None:
    module = PolarizedSelfAttention(32, mode=mode, form=form)
    x = draws(1, 1, 32, 1, 1)
    expected = module(x)
    assert expected.isfinite().all()
    found = module.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.02)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 111_200), ({"mode": "parallel"}, 131_328), ({"form": "paper"}, 132_481)],
)
def test_parameters_at_256(options: dict[str, str], parameters: int) -> None:
    module = PolarizedSelfAttention(256, **options)
    assert sum(parameter.numel() for parameter in module.parameters()) == parameters


def test_lists_of_tutorials() -> None:
    assert read_list(PolarizedSelfAttention, [256], 256, int) == ({}, "")
    options = {"mode": "parallel", "form": "paper"}
    assert read_list(PolarizedSelfAttention, [256, "parallel", "paper"], 256, int)[0] == options


@pytest.mark.parametrize(
    "options", [{"mode": "both"}, {"mode": None}, {"form": "official"}, {"form": 1}]
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        PolarizedSelfAttention(8, **options)


@pytest.mark.parametrize(("channels", "hidden"), [(8, 4), (15, 4), (16, 2), (24, 3), (64, 8)])
def test_hidden_channels(channels: int, hidden: int) -> None:
    state = PolarizedSelfAttention(channels).state_dict()
    assert state["conv_up.0.weight"].shape[0] == hidden
