"""DoubleAttention: golden values, identity at insertion, what the tutorial's list means, and what
it refuses.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch

from models.attention.double_attention import DoubleAttention
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("double_attention").check(
        DoubleAttention(32, c_m=16, c_n=8, residual=False), "official", size
    )


def test_golden_without_reconstruction() -> None:
    module = DoubleAttention(32, c_m=16, c_n=8, reconstruct=False)
    assert module.out_channels == 16
    Golden("double_attention").check(module, "no_reconstruct", "7x13")


def test_golden_of_the_tutorials_single_vector() -> None:
    with pytest.warns(
        UserWarning, match=r"c_n=1: every pixel .* becomes equal.*write \{c_m: 32, c_n: 8\}"
    ):
        module = DoubleAttention(32, c_m=32, c_n=1, reconstruct=False)
    assert not hasattr(module, "out_channels")
    Golden("double_attention").check(module, "seed_yaml_cn1", "7x13")
    out = module(draws(3, 1, 32, 4, 5))
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out))


def test_a_new_module_is_the_identity_and_learns() -> None:
    module, x = DoubleAttention(8), draws(1, 2, 8, 5, 7)
    assert module.starts_as_identity
    out = module(x)
    assert torch.equal(out, x)
    (out * draws(2, *out.shape)).sum().backward()
    assert module.conv_reconstruct is not None
    assert module.conv_reconstruct.weight.grad is not None
    assert module.conv_reconstruct.weight.grad.abs().max() > 0


def test_the_residual_adds_the_input() -> None:
    torch.manual_seed(0)
    plain, x = DoubleAttention(8, c_m=3, c_n=4, residual=False), draws(1, 2, 8, 5, 7)
    added = DoubleAttention(8, c_m=3, c_n=4)
    added.load_state_dict(plain.state_dict())
    torch.testing.assert_close(added(x), x + plain(x))


def test_sizes_follow_the_channels() -> None:
    assert sum(value.numel() for value in DoubleAttention(256).parameters()) == 65_984
    small = DoubleAttention(3)
    assert (small.convA.out_channels, small.convB.out_channels) == (1, 2)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], {}),
        ([128], {"c_m": 64, "reconstruct": False, "residual": False}),
        ([128, 1], {"c_m": 64, "c_n": 1, "reconstruct": False, "residual": False}),
        ([128, 32, True], {"c_m": 64, "c_n": 32, "reconstruct": True, "residual": False}),
    ],
)
def test_lists_mean_what_the_tutorials_class_computes(
    values: list[Any], expected: dict[str, Any]
) -> None:
    found = DoubleAttention.from_list(values, 64, lambda count: count // 2)
    assert found == expected
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        DoubleAttention(64, **found)


@pytest.mark.parametrize("values", [[128, 1, True, 4], ["a"], [True], [0], [None, 2]])
def test_impossible_lists(values: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"takes at most 3 values|c_m="):
        DoubleAttention.from_list(values, 64, lambda count: count)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"c_m": 0}, "c_m=0"),
        ({"c_n": -1}, "c_n=-1"),
        ({"c_m": True}, "c_m=True"),
        ({"c_n": 2.5}, "c_n=2.5"),
        ({"reconstruct": 1}, "reconstruct=1"),
        ({"residual": "no"}, "residual='no'"),
        ({"reconstruct": False, "residual": True}, "residual=True: needs reconstruct=True"),
    ],
)
def test_impossible_values(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DoubleAttention(8, **options)
