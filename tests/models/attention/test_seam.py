"""SEAM and MultiSEAM: golden values, gradients, maps smaller than a patch, and what they refuse."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.seam import SEAM, MultiSEAM
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def norm(layer: Any, x: Tensor) -> Tensor:
    """Batch norm in train mode."""
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    z = (x - mean) / (variance + layer.eps).sqrt()
    return z * layer.weight[:, None, None] + layer.bias[:, None, None]


def run_unit(unit: Any, t: Tensor) -> Tensor:
    depthwise, _, first = unit[0].fn
    t = t + norm(first, gelu(depthwise(t)))
    return norm(unit[3], gelu(unit[1](t)))


def amplified(x: Tensor, fc: Any, y: Tensor) -> Tensor:
    gate = torch.sigmoid((y @ fc[0].weight.T).relu() @ fc[2].weight.T)
    return x * torch.exp(gate)[:, :, None, None]


def listing(module: SEAM, x: Tensor) -> Tensor:
    """The formula of SEAM once more."""
    y = x
    for unit in module.DCovN:
        y = run_unit(unit, y)
    return amplified(x, module.fc, y.mean((2, 3)))


def patches(layer: Any, x: Tensor) -> Tensor:
    """A convolution of whole patches by unfold, of a map filled up with zeros to one patch."""
    side = layer.kernel_size[0]
    filled = x.new_zeros(*x.shape[:2], *(max(side, length) for length in x.shape[2:]))
    filled[:, :, : x.shape[2], : x.shape[3]] = x
    cells = filled.unfold(2, side, side).unfold(3, side, side)  # [B, C, rows, columns, side, side]
    return torch.einsum("bchwij,ocij->bohw", cells, layer.weight) + layer.bias[:, None, None]


def listing_of_multi(module: MultiSEAM, x: Tensor) -> Tensor:
    """The formula of MultiSEAM once more."""
    means = [x.mean((2, 3))]
    branches: list[Any] = [module.DCovN0, module.DCovN1, module.DCovN2]
    for first, _, batch_norm, *units in branches:
        y = norm(batch_norm, gelu(patches(first, x)))
        for unit in units:
            y = run_unit(unit, y)
        means.append(y.mean((2, 3)))
    return amplified(x, module.fc, torch.stack(means).mean(0))


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("seam").check(SEAM(32), "seam", size)


def test_golden_of_patches() -> None:
    Golden("seam").check(MultiSEAM(32), "multi", "14x21")


@LAYOUTS
@pytest.mark.parametrize("options", [{}, {"n": 2, "reduction": 2}])
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = SEAM(6, **options).double()
    module.fc[2].weight.data.add_(0.5)  # type: ignore[operator]
    x = draws(5, 3, 6, 4, 5).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@LAYOUTS
@pytest.mark.parametrize("size", [(9, 8), (5, 12), (3, 2)])
@pytest.mark.parametrize("options", [{}, {"depth": 2, "kernel": 5, "patch": [2, 4, 6]}])
def test_values_and_gradients_of_patches(
    options: dict[str, Any], size: tuple[int, int], layout: torch.memory_format
) -> None:
    module = MultiSEAM(4, reduction=2, **options).double()
    x = draws(5, 3, 4, *size).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing_of_multi(module, x))
    assert_same_gradients(module, listing_of_multi, x, layout)


def test_the_factor_is_between_one_and_e() -> None:
    x = torch.ones(1, 16, 3, 3)
    for module in (SEAM(16), MultiSEAM(16)):
        out = module(x).detach()  # a single image in train mode
        assert 1 < float(out.min()) <= float(out.max()) < 2.72
        assert abs(float(out.mean()) - 1.65) < 0.2


def test_many_parameters_are_warned_of() -> None:
    with torch.device("meta"):
        with pytest.warns(UserWarning, match=r"patch=\[6, 7, 8\]: has 9,764,864 parameters at 256"):
            module = MultiSEAM(256, patch=[6, 7, 8])
        assert sum(value.numel() for value in module.parameters()) == 9_983_488
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            MultiSEAM(128)
        assert sum(value.numel() for value in SEAM(256).parameters()) == 77_568


def test_lists_of_tutorials() -> None:
    assert read_list(SEAM, [256, 1, 16], 256, int) == ({"n": 1, "reduction": 16}, "")
    arguments, note = read_list(MultiSEAM, [128, 1, 3, [6, 7, 8], 16], 128, int)
    assert arguments == {"depth": 1, "kernel": 3, "patch": [6, 7, 8], "reduction": 16}
    assert not note
    assert isinstance(MultiSEAM(8, **arguments), MultiSEAM)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"n": 0}, {"n": True}, {"reduction": 0}, {"reduction": 64}])
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        SEAM(8, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"depth": 0},
        {"kernel": 4},
        {"patch": 7},
        {"patch": [6, 7]},
        {"patch": [6, 7, 0]},
        {"reduction": None},
    ],
)
def test_impossible_values_of_patches(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        MultiSEAM(8, **options)
