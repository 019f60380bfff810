"""Sizes that a network can take."""

from __future__ import annotations

import pytest
import torch

from utils.sizes import side_step, whole_side


@pytest.mark.parametrize(
    ("side", "stride", "whole"), [(640, 32, 640), (641, 32, 672), (1, 32, 32), (100, 64, 128)]
)
def test_a_side_is_rounded_up(side: int, stride: int, whole: int):
    assert whole_side(side, stride) == whole


@pytest.mark.parametrize(
    ("strides", "step"), [([8, 16, 32], 32), ([8, 16], 32), ([8, 16, 32, 64], 64)]
)
def test_sides_are_multiples_of_32_at_least(strides: list[int], step: int):
    assert side_step(torch.tensor(strides, dtype=torch.float32)) == step
