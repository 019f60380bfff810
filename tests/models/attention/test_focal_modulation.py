"""FocalModulation: golden values, the formula for tokens, its options, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention.focal_modulation import FocalModulation, level_layer
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("focal_modulation")


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(FocalModulation(32), "official", size)


def test_golden_with_a_norm_and_three_levels() -> None:
    GOLDEN.check(FocalModulation(32, focal_level=3, postln=True), "postln", "7x13")


def listing(module: FocalModulation, x: Tensor) -> Tensor:
    """The formula with tokens last, as the paper has it, level by level."""
    channels, levels = x.shape[1], len(module.focal_layers)
    joint = module.f(x.permute(0, 2, 3, 1))  # [B, H, W, 2 C + L + 1]
    query, context = joint[..., :channels], joint[..., channels : 2 * channels]
    total = torch.zeros_like(query)
    for level in range(levels):
        weight = module.focal_layers[level][0].weight  # type: ignore[index]
        maps = F.conv2d(
            context.permute(0, 3, 1, 2), weight, padding=weight.shape[-1] // 2, groups=channels
        )
        context = F.gelu(maps).permute(0, 2, 3, 1)
        total = total + context * joint[..., 2 * channels + level, None]
    total = total + F.gelu(context.mean((1, 2), keepdim=True)) * joint[..., -1:]
    if module.normalize_modulator:
        total = total / (levels + 1)
    out = query * F.linear(total, module.h.weight[:, :, 0, 0], module.h.bias)
    if module.ln is not None:
        out = module.ln(out)
    return module.proj(out).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"focal_window": 5, "focal_level": 1},
        {"focal_level": 4, "focal_factor": 4, "normalize_modulator": True},
        {"focal_window": 1, "focal_factor": 6, "postln": True},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "memory_format", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"]
)
def test_the_formula_and_its_gradients(
    options: dict[str, Any], memory_format: torch.memory_format
) -> None:
    torch.manual_seed(0)
    module = FocalModulation(6, **options).double()
    x = draws(1, 2, 6, 5, 8).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


def test_nothing_of_a_step_stays_in_the_module() -> None:
    """The authors' code keeps two maps as attributes, and with them the graph."""
    module = FocalModulation(4)
    before = set(vars(module))
    module(draws(1, 1, 4, 5, 5).requires_grad_())
    assert set(vars(module)) == before


@pytest.mark.parametrize(
    ("options", "parameters"), [({}, 272_643), ({"focal_level": 3}, 285_444)], ids=str
)
def test_parameters_at_256(options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        module = FocalModulation(256, **options)
    assert sum(value.numel() for value in module.parameters()) == parameters


def test_a_level_keeps_the_map() -> None:
    assert level_layer(2, 7)(torch.zeros(1, 2, 3, 1)).shape == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"focal_window": 4}, "focal_window=4: must be odd, such as 5"),
        ({"focal_window": 0}, "focal_window=0"),
        ({"focal_level": 0}, "focal_level=0"),
        ({"focal_level": 1.5}, "focal_level=1.5"),
        ({"focal_factor": 3}, "focal_factor=3: must be even"),
        ({"focal_factor": -2}, "focal_factor=-2"),
        ({"focal_factor": False}, "focal_factor=False"),
        ({"normalize_modulator": 1}, "normalize_modulator=1: must be true or false"),
        ({"postln": None}, "postln=None: must be true or false"),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FocalModulation(8, **options)
