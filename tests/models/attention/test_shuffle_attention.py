"""ShuffleAttention: golden values, the hand-written pass against the plain one, what fits and what
is refused.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention.fast._blocks import image_runs
from models.attention.fast.shuffle_attention import _Shuffle
from models.attention.shuffle_attention import ShuffleAttention
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize("size", ["20x20", "7x13", "1x1"])
def test_golden(size: str) -> None:
    Golden("shuffle_attention").check(ShuffleAttention(32), "official", size)


def test_gradients_by_differences() -> None:
    x = draws(3, 2, 4, 3, 2).double().requires_grad_()
    gates = [draws(seed, 1, 4, 1, 1).double().requires_grad_() for seed in (4, 5, 6)]
    assert torch.autograd.gradcheck(
        lambda *given: _Shuffle.apply(given[0], 1e-5, *given[1:]), (x, *gates)
    )


def gated(x: torch.Tensor, eps: float, *gates: torch.Tensor) -> torch.Tensor:
    """The formula written down once more, one operation at a time."""
    scale, slope, shift = gates
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
    out = x * (scale * (x - mean) / (variance + eps).sqrt() + slope * mean + shift).sigmoid()
    half = x.shape[1] // 2
    return torch.stack((out[:, :half], out[:, half:]), 2).flatten(1, 2)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 256, 24, 25), (12, 16, 40, 41)])
def test_blocks_of_images_give_what_the_whole_batch_gives(
    shape: tuple[int, ...], memory_format: Any
) -> None:
    x = draws(5, *shape).double().contiguous(memory_format=memory_format).requires_grad_()
    assert len(image_runs(x)) > 1
    gates = [draws(seed, 1, shape[1], 1, 1).double().requires_grad_() for seed in (4, 5, 6)]
    weight = draws(7, *shape)
    found, expected = (
        (out, *torch.autograd.grad((out * weight).sum(), (x, *gates)))
        for out in (_Shuffle.apply(x, 1e-5, *gates), gated(x, 1e-5, *gates))
    )
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert found[0].is_contiguous(memory_format=memory_format)
    assert found[1].is_contiguous(memory_format=memory_format)


def test_at_first_it_is_a_permutation_times_one_factor() -> None:
    x = draws(1, 1, 6, 2, 2)
    expected = x[:, [0, 3, 1, 4, 2, 5]] * torch.tensor(1.0).sigmoid()
    torch.testing.assert_close(ShuffleAttention(6)(x), expected)


def test_statistics_of_half_precision_do_not_overflow() -> None:
    module = ShuffleAttention(4, groups=1)
    torch.nn.init.ones_(module.sweight)
    x = draws(3, 1, 4, 80, 80) * 60 + 300
    out = module(x.half())
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), module(x), rtol=1e-2, atol=1)


@pytest.mark.parametrize(
    ("channels", "groups"), [(64, 8), (16, 8), (24, 6), (20, 5), (14, 7), (2, 1), (6, 3)]
)
def test_groups_when_none_are_given(channels: int, groups: int) -> None:
    assert ShuffleAttention(channels).groups == groups


@pytest.mark.parametrize("groups", [0, -1, 3, 64, 2.5, "8", True])
def test_impossible_groups(groups: Any) -> None:
    with pytest.raises(ValueError, match=r"groups=.*such as 1, 2, 4"):
        ShuffleAttention(32, groups=groups)


def test_odd_channels() -> None:
    with pytest.raises(ValueError, match="channels=15"):
        ShuffleAttention(15)
