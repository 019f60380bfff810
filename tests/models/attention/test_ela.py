"""ELA: golden values, the formula written out, the number of groups, and what it refuses."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.attention._arguments import read_list
from models.attention.ela import ELA
from tests.models.attention.golden import Golden, assert_same_gradients, draws

GOLDEN = Golden("ela")
VARIANTS: dict[str, dict[str, Any]] = {  # of the paper, for 32 channels
    "B": {},
    "T": {"kernel_size": 5, "num_groups": 32},
    "S": {"kernel_size": 5, "groups": 4},
    "L": {"groups": 4},
}


class Copy(nn.Module):
    """An ELA under the names of the copies with a dense convolution of one tap."""

    def __init__(self, inner: ELA) -> None:
        super().__init__()
        self.conv1x1 = nn.Sequential(inner.conv, inner.gn)
        self.hidden = [inner]  # a list keeps its names out of the state dict

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden[0](x)


def listing(module: ELA, x: Tensor) -> Tensor:
    """The formula written down once more, with the norm and the convolution by hand."""
    return x * gate(module, x.mean(3))[:, :, :, None] * gate(module, x.mean(2))[:, :, None, :]


def gate(module: ELA, t: Tensor) -> Tensor:
    conv, norm = module.conv, module.gn
    side, size = conv.kernel_size[0] // 2, t.shape[2]
    members = conv.weight.shape[1]
    padded = torch.cat((t.new_zeros(*t.shape[:2], side), t, t.new_zeros(*t.shape[:2], side)), 2)
    out = torch.zeros_like(t)
    for channel in range(t.shape[1]):
        first = channel // (t.shape[1] // conv.groups) * members
        for tap in range(conv.kernel_size[0]):
            window = padded[:, first : first + members, tap : tap + size]
            weights = conv.weight[channel, :, tap]
            out[:, channel] = out[:, channel] + (window * weights[None, :, None]).sum(1)
        if conv.bias is not None:
            out[:, channel] = out[:, channel] + conv.bias[channel]
    grouped = out.reshape(len(t), norm.num_groups, -1)
    centred = grouped - grouped.mean(2, keepdim=True)
    normal = centred / (centred.square().mean(2, keepdim=True) + norm.eps).sqrt()
    normal = normal.reshape(t.shape) * norm.weight[None, :, None] + norm.bias[None, :, None]
    return 1 / (1 + torch.exp(-normal))


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    GOLDEN.check(ELA(32), "elab", size)


def test_golden_of_the_dense_copies() -> None:
    GOLDEN.check(Copy(ELA(32, kernel_size=1, groups=1, bias=True)), "conv1x1", "7x13")


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (6, 1)], ids=str)
def test_variants_of_the_paper(
    variant: str, size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    module = ELA(32, **VARIANTS[variant]).double()
    with torch.no_grad():
        for value in module.parameters():
            value.add_(draws(3, *value.shape) / 2)
    x = draws(5, 3, 32, *size).double().contiguous(memory_format=memory_format).requires_grad_()
    torch.testing.assert_close(module(x), listing(module, x))
    assert_same_gradients(module, listing, x, memory_format)


@pytest.mark.parametrize(
    ("channels", "groups"), [(16, 16), (256, 16), (24, 8), (40, 8), (8, 8), (100, 4), (7, 1)]
)
def test_groups_of_the_norm(channels: int, groups: int) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert ELA(channels).gn.num_groups == groups
    assert [str(one.message) for one in said] == (
        []
        if groups == 16
        else [f"ELA: 16 groups do not divide the {channels} channels; num_groups is {groups}"]
    )


def test_a_single_value_per_group_gives_a_constant_gate() -> None:
    module, x = ELA(16), draws(1, 1, 16, 1, 1)
    torch.testing.assert_close(module(x), x / 4)


@pytest.mark.parametrize(
    ("options", "parameters"),
    [({}, 2_304), ({"kernel_size": 1, "groups": 1, "bias": True}, 66_304)],
    ids=str,
)
def test_parameters_at_256(options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        module = ELA(256, **options)
    assert sum(value.numel() for value in module.parameters()) == parameters


def test_lists_of_tutorials() -> None:
    assert read_list(ELA, [256], 256, int) == ({}, "")
    assert read_list(ELA, [5], 256, int) == ({"kernel_size": 5}, "")
    assert read_list(ELA, [256, 5, 32], 256, int) == ({"kernel_size": 5, "groups": 32}, "")


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4},
        {"kernel_size": 7.0},
        {"groups": 5},
        {"groups": 4.0},
        {"num_groups": 16},
        {"num_groups": True},
        {"bias": 1},
    ],
    ids=str,
)
def test_impossible_values(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        ELA(24, **options)
