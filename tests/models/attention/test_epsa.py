"""EPSA: golden values, a plain calculation for other options, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention.epsa import EPSA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("epsa")


@pytest.mark.parametrize("size", ["8x8", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(EPSA(64), "official", size)


def test_golden_with_a_stride() -> None:
    GOLDEN.check(EPSA(64, stride=2), "stride2", "7x13")


def convolutions(module: EPSA) -> list[nn.Conv2d]:
    return [module.conv_1, module.conv_2, module.conv_3, module.conv_4]  # type: ignore[list-item]


def listing(module: EPSA, x: Tensor) -> Tensor:
    """The formula, one convolution after the other."""
    features = [conv(x) for conv in convolutions(module)]
    means = [one.mean((2, 3), keepdim=True) for one in features]
    gates = [module.se.fc2(module.se.fc1(one).relu()).sigmoid() for one in means]
    total = sum(gate.exp() for gate in gates)
    weighted = [one * gate.exp() / total for one, gate in zip(features, gates, strict=True)]
    return torch.cat(weighted[::-1], 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("channels", "options"),
    [
        (8, {}),
        (12, {"out_channels": 24, "stride": 2}),
        (16, {"conv_kernels": [1, 3, 3, 5], "conv_groups": [4, 1, 2, 1]}),
    ],
)
def test_plain_calculation(
    layout: torch.memory_format, channels: int, options: dict[str, Any]
) -> None:
    module = EPSA(channels, **options).double()
    x = draws(1, 2, channels, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    weights = draws(6, *module(x).shape).double()
    inputs = [x, *module.parameters()]
    found = torch.autograd.grad((module(x) * weights).sum(), inputs)
    torch.testing.assert_close(
        found, torch.autograd.grad((listing(module, x) * weights).sum(), inputs)
    )
    if "stride" not in options:
        assert_same_gradients(module, listing, x, layout)


@pytest.mark.parametrize(
    ("channels", "groups", "hidden"),
    [(256, [1, 4, 8, 16], 4), (64, [1, 4, 8, 16], 1), (32, [1, 4, 8, 8], 1), (8, [1, 2, 2, 2], 1)],
)
def test_narrow_maps_have_fewer_groups(channels: int, groups: list[int], hidden: int) -> None:
    module = EPSA(channels)
    assert [conv.groups for conv in convolutions(module)] == groups
    assert module.se.fc1.out_channels == hidden


def test_parameters_at_256() -> None:
    assert sum(parameter.numel() for parameter in EPSA(256).parameters()) == 433_732


def test_the_width_may_change() -> None:
    module = EPSA(16, out_channels=32, stride=2)
    assert module.out_channels == 32
    assert module(draws(1, 2, 16, 5, 8)).shape == (2, 32, 3, 4)


@pytest.mark.parametrize(
    "options",
    [
        {"out_channels": 0},
        {"conv_kernels": [3, 5, 7]},
        {"conv_kernels": [3, 5, 7, 8]},
        {"conv_kernels": 3},
        {"conv_groups": [1, 4, 8, 16]},
        {"conv_groups": [1, 2, 2]},
        {"conv_groups": [1, 2, 2, 0]},
        {"stride": 3},
        {"stride": 0},
    ],
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        EPSA(16, **options)


@pytest.mark.parametrize("options", [{}, {"out_channels": 18}])
def test_channels_that_do_not_fit(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="multiple of 4 output channels, but 18 were given"):
        EPSA(18 if not options else 16, **options)
