"""Sizes that a network can take."""

from __future__ import annotations

import pytest
import torch

from utils.errors import UserError
from utils.sizes import check_sides, side_step, whole_side


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


@pytest.mark.parametrize("sides", [(31,), (640, 2**15 + 1), (64, 64, 64)])
def test_sides_that_no_network_takes_are_refused(sides: tuple[int, ...]) -> None:
    check_sides((32, 2**15))
    check_sides(())
    with pytest.raises(UserError, match=r"--imgsz=.*takes a side, or height and width, of"):
        check_sides(sides)
