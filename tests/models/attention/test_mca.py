"""MCA: golden values, gradients, maps without a deviation, taps, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.fast.mca import variance_and_mean
from models.attention.mca import MCA, taps
from tests.models.attention.golden import Golden, assert_same_gradients, draws
from tests.models.attention.plain import force_plain

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def gate(module: Any, x: Tensor, axis: int) -> Tensor:
    """One gate from its definition, of the shape of x with the other axes 1."""
    others = tuple({1, 2, 3} - {axis})
    mean, deviation = x.mean(others), x.std(others)  # [B, L]
    first, second = 0.5 + module.weight.sigmoid()
    z = torch.nn.functional.conv1d(
        (first * mean + second * deviation)[:, None],
        module.conv.weight[:, :, 0],
        padding=module.conv.weight.shape[3] // 2,
    )
    shape = [len(x), 1, 1, 1]
    shape[axis] = -1
    return z.sigmoid().reshape(shape)


def listing(module: MCA, x: Tensor) -> Tensor:
    """The formula once more, gate by gate."""
    gates = [gate(module.h_cw, x, 2), gate(module.w_hc, x, 3)]
    if module.c_hw is not None:
        gates.append(gate(module.c_hw, x, 1))
    return torch.stack([x * one for one in gates]).mean(0)


@pytest.mark.parametrize("size", ["20x20", "7x13"])
@pytest.mark.parametrize("plain", [False, True])
def test_golden(size: str, plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain:
        force_plain(monkeypatch)
    Golden("mca").check(MCA(32), "official", size)


def test_golden_without_the_channel_gate() -> None:
    Golden("mca").check(MCA(32, no_spatial=True), "no_spatial", "7x13")


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"no_spatial": True}])
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (7, 1)])
def test_values_and_gradients(
    options: dict[str, Any], size: tuple[int, int], layout: torch.memory_format
) -> None:
    module = MCA(6, **options).double()
    x = draws(5, 3, 6, *size).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@LAYOUTS
@pytest.mark.parametrize("dim", [2, 3])
def test_variance_and_mean(
    dim: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.attention.fast._blocks.STEP", 2 * 3 * 4 * 5)  # two images, then one
    x = 1000 + draws(5, 3, 3, 4, 5).double().contiguous(memory_format=layout)
    x.requires_grad_()
    torch.testing.assert_close(variance_and_mean(x, dim), torch.var_mean(x, dim, correction=0))
    assert torch.autograd.gradcheck(lambda x: variance_and_mean(x, dim), (x,))


@pytest.mark.parametrize("channels", [1, 2, 32])
def test_a_single_value_has_no_deviation(channels: int) -> None:
    """Of 1 x 1 maps each channel is one value; the channel gate is what the other two lack."""
    module, twin = MCA(channels).double(), MCA(channels, no_spatial=True).double()
    twin.load_state_dict(module.state_dict(), strict=False)
    x = draws(4, 2, channels, 1, 1).double()
    channel = module.c_hw
    assert channel is not None
    z = (0.5 + channel.weight[0].sigmoid()) * x[:, None, :, 0, 0]
    z = torch.nn.functional.conv1d(z, channel.conv.weight[:, :, 0], padding=taps(channels) // 2)
    found = 3 * module(x) - 2 * twin(x)
    torch.testing.assert_close(found, x * z.sigmoid()[:, 0, :, None, None], atol=1e-5, rtol=0)


def test_one_map_is_kept() -> None:
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    x = draws(1, 2, 32, 16, 16).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        MCA(32)(x)
    assert sum(kept.values()) < 1.5 * x.numel()


@pytest.mark.parametrize(
    ("channels", "expected"),
    [(1, 1), (2, 1), (4, 1), (16, 1), (32, 3), (128, 3), (256, 5), (1024, 5)],
)
def test_taps_of_the_channels(channels: int, expected: int) -> None:
    assert taps(channels) == expected


def test_lists_and_cost() -> None:
    assert read_list(MCA, [256], 256, int) == ({}, "")
    assert read_list(MCA, [True], 256, int) == ({"no_spatial": True}, "")
    assert sum(value.numel() for value in MCA(256).parameters()) == 17


@pytest.mark.parametrize("value", [0, "yes", None])
def test_impossible_values(value: Any) -> None:
    with pytest.raises(ValueError, match="no_spatial="):
        MCA(8, no_spatial=value)
