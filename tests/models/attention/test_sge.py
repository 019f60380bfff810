"""SGE: golden values, a plain calculation, maps without a deviation, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models.attention._arguments import read_list
from models.attention.sge import SGE
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("sge")


@pytest.mark.parametrize(
    ("variant", "groups", "size"),
    [("official", 8, "20x20"), ("official", 8, "7x13"), ("g4", 4, "7x13")],
)
def test_golden(variant: str, groups: int, size: str) -> None:
    GOLDEN.check(SGE(32, groups=groups), variant, size)


def listing(module: SGE, x: Tensor) -> Tensor:
    """The formula, one group after the other."""
    outs = []
    for index, part in enumerate(x.chunk(module.groups, 1)):
        mean = part.mean((2, 3), keepdim=True)
        c = (part * mean).sum(1, keepdim=True)
        deviation = c.flatten(1).std(1)[:, None, None, None]
        t = (c - c.mean((2, 3), keepdim=True)) / (deviation + 1e-5)
        outs.append(part * (t * module.weight[0, index] + module.bias[0, index]).sigmoid())
    return torch.cat(outs, 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("groups", [1, 3, 12])
def test_plain_calculation(layout: torch.memory_format, groups: int) -> None:
    module = SGE(12, groups=groups).double()
    module.weight.data = draws(5, *module.weight.shape).double()
    x = draws(1, 2, 12, 3, 4).double().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, layout)


@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
def test_maps_without_a_deviation_get_the_gate_of_the_bias(size: tuple[int, int]) -> None:
    module = SGE(8, groups=2)
    module.weight.data.fill_(3.0)
    x = draws(1, 2, 8, 1, 1).round()  # whole numbers, whose sums are exact
    x = x.expand(-1, -1, *size).clone().requires_grad_()
    out = module(x)
    torch.testing.assert_close(out, x * torch.tensor(1.0).sigmoid())
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_a_new_module_scales_all_alike() -> None:
    x = draws(1, 2, 8, 4, 5)
    torch.testing.assert_close(SGE(8)(x), 0.7310586 * x)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(512, 64), (256, 64), (64, 64), (48, 12), (100, 25), (8, 2), (7, 1), (3, 1)],
)
def test_default_groups(channels: int, groups: int) -> None:
    assert SGE(channels).groups == groups


@pytest.mark.parametrize(
    ("values", "groups"), [([], 8), ([256], 8), ([256, 16], 16), ([4], 4), ([8], 8), ([8, 0.5], 8)]
)
def test_lists_of_tutorials(values: list[Any], groups: int) -> None:
    assert read_list(SGE, values, 256, int) == ({"groups": groups}, "")


@pytest.mark.parametrize("groups", [0, 5, 64, 8.0, "8", True])
def test_impossible_groups(groups: Any) -> None:
    with pytest.raises(ValueError, match=r"groups=.*must divide the 32 channels"):
        SGE(32, groups=groups)
