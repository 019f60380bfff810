"""CAA: golden values of all its forms, gradients, borders, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.caa import CAA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])


def layer(module: Any, x: Tensor) -> Tensor:
    z = torch.einsum("oc,bchw->bohw", module.conv.weight[:, :, 0, 0], x)
    if module.bn is None:
        return z + module.conv.bias[:, None, None]
    z = module.bn(z)
    return z * z.sigmoid()


def listing(module: CAA, x: Tensor) -> Tensor:
    """The formula once more: sums over shifted maps in place of pooling and of strips."""
    height, width = x.shape[2:]
    around = F.pad(x, (3, 3, 3, 3))
    shifts = [(down, right) for down in range(7) for right in range(7)]
    parts = [around[:, :, i : i + height, j : j + width] for i, j in shifts]
    z = layer(module.conv1, torch.stack(parts).sum(0) / 49)
    for strip, dim in ((module.h_conv.conv, 3), (module.v_conv.conv, 2)):
        taps = strip.weight.flatten(1)  # type: ignore[operator, union-attr]
        reach = taps.shape[1] // 2
        pad = (reach, reach, 0, 0) if dim == 3 else (0, 0, reach, reach)
        around = F.pad(z, pad)
        parts = [around.narrow(dim, tap, z.shape[dim]) for tap in range(taps.shape[1])]
        weighted = [part * taps[:, tap, None, None] for tap, part in enumerate(parts)]
        z = torch.stack(weighted).sum(0)
        z = z + strip.bias[:, None, None]  # type: ignore[index, union-attr]
    gate = layer(module.conv2, z).sigmoid()
    return gate if module.gate_only else x * gate


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden_of_the_gate(size: str) -> None:
    Golden("caa").check(CAA(32, gate_only=True), "gate", size)


@pytest.mark.parametrize(
    ("variant", "options"),
    [("mul", {}), ("gate_linear", {"gate_only": True, "linear": True})],
)
def test_golden_of_other_forms(variant: str, options: dict[str, Any]) -> None:
    Golden("caa").check(CAA(32, **options), variant, "7x13")


def test_golden_of_the_copies_in_yolo() -> None:
    """Their strips have shorter names, and batch norm has PyTorch's constants."""
    module = CAA(32)
    module.h_conv, module.v_conv = module.h_conv.conv, module.v_conv.conv  # type: ignore[assignment]
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps, part.momentum = 1e-5, 0.1
    Golden("caa").check(module, "yolo", "7x13")


@LAYOUTS
@pytest.mark.parametrize(
    "options",
    [{}, {"h_kernel": 5, "v_kernel": 3}, {"linear": True, "v_kernel": 1}, {"gate_only": True}],
)
def test_values_and_gradients(options: dict[str, Any], layout: torch.memory_format) -> None:
    module = CAA(3, **options).double()
    x = draws(5, 2, 3, 6, 9).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


def test_the_gate_is_bounded_below_by_silu() -> None:
    x = 10 * draws(3, 2, 16, 9, 9)
    least = float(CAA(16, gate_only=True).eval()(x).detach().min())
    assert least > 0.43
    assert CAA(16)(torch.ones(1, 16, 1, 1)).isfinite().all()  # batch norm of a single value


def test_lists_and_cost() -> None:
    assert read_list(CAA, [256], 256, int) == ({}, "")
    assert read_list(CAA, [256, 13, 15], 256, int) == ({"h_kernel": 13, "v_kernel": 15}, "")
    counts = [
        sum(value.numel() for value in CAA(256, linear=linear).parameters())
        for linear in (False, True)
    ]
    assert counts == [138_240, 137_728]


@pytest.mark.parametrize(
    "options", [{"h_kernel": 4}, {"v_kernel": 0}, {"gate_only": 1}, {"linear": None}]
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        CAA(8, **options)
