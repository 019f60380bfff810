"""ECA: golden values, the convolution by hand, its size by the paper, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention._arguments import read_list
from models.attention.eca import ECA, adaptive_size
from tests.models.attention.golden import Golden, draws


@pytest.mark.parametrize(
    ("variant", "size"),
    [("official", "20x20"), ("official", "7x13"), ("official", "1x1"), ("k5", "7x13")],
)
def test_golden(variant: str, size: str) -> None:
    Golden("eca").check(ECA(32, k_size=5 if variant == "k5" else None), variant, size)


def test_neighbours_by_hand() -> None:
    module = ECA(4, k_size=3)
    module.load_state_dict({"conv.weight": torch.tensor([[[1.0, 10.0, 100.0]]])})
    x = draws(1, 2, 4, 2, 3) / 50
    means = x.mean((2, 3))
    scores = 10 * means
    scores[:, 1:] += means[:, :-1]
    scores[:, :-1] += 100 * means[:, 1:]
    torch.testing.assert_close(module(x), x * scores.sigmoid()[:, :, None, None])


@pytest.mark.parametrize(
    ("channels", "taps"),
    [(1, 1), (8, 3), (16, 3), (64, 3), (127, 3), (128, 5), (256, 5), (512, 5), (1024, 5)],
)
def test_size_follows_the_channels(channels: int, taps: int) -> None:
    assert adaptive_size(channels) == taps
    assert ECA(channels).conv.weight.shape == (1, 1, taps)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_by_differences(layout: torch.memory_format) -> None:
    module = ECA(4, k_size=3).double()
    x = draws(2, 2, 4, 3, 2).double().contiguous(memory_format=layout).requires_grad_()

    def run(x: torch.Tensor, weight: torch.Tensor) -> Any:
        return torch.func.functional_call(module, {"conv.weight": weight}, (x,))

    assert torch.autograd.gradcheck(run, (x, module.conv.weight))


def test_lists_of_tutorials() -> None:
    assert read_list(ECA, [256], 256, int) == ({}, "")
    assert read_list(ECA, [3], 256, int) == ({"k_size": 3}, "")
    assert read_list(ECA, [256, 7], 256, int) == ({"k_size": 7}, "")


@pytest.mark.parametrize("value", [0, -3, 4, 512, 3.0, True, "3"])
def test_impossible_sizes(value: Any) -> None:
    with pytest.raises(ValueError, match=r"k_size=.*odd"):
        ECA(8, k_size=value)


def test_taps_that_meet_no_channel() -> None:
    with pytest.warns(UserWarning, match="only 7 taps can meet one; write k_size: 1"):
        ECA(4, k_size=9)
