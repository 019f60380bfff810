"""SKAttention: golden values of the public copy, a second calculation, lists, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.attention._arguments import read_list
from models.attention.sk_attention import SKAttention
from tests.models.attention.golden import Golden, draws


def test_golden() -> None:
    Golden("sk").check(SKAttention(32), "extattn", "7x13")


def test_every_channel_takes_a_weighted_mean_of_its_paths() -> None:
    module, x = SKAttention(8, kernels=[1, 3], group=2, L=4).double(), draws(3, 2, 8, 5, 6).double()
    paths = torch.stack([path.bn(path.conv(x)).relu() for path in module.convs])
    z = module.fc(paths.sum(0).mean((2, 3)))
    weights = torch.stack([layer(z) for layer in module.fcs]).exp()
    weights = (weights / weights.sum(0))[..., None, None]
    torch.testing.assert_close(module(x), (weights * paths).sum(0))


def test_list_spellings() -> None:
    values: list[Any] = [[1, 3, 5, 7], 16, 1, 32]
    expected = {"kernels": [1, 3, 5, 7], "reduction": 16, "group": 1, "L": 32}
    assert read_list(SKAttention, values, 64, int) == (expected, "")
    assert read_list(SKAttention, [64], 64, int) == ({}, "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernels": []}, r"kernels=\[\]: must be a list of odd numbers"),
        ({"kernels": 3}, "kernels=3: must be a list of odd numbers"),
        ({"kernels": [4]}, "kernels=4: must be odd, such as 5"),
        ({"group": 3}, "group=3: must divide the 8 channels"),
        ({"reduction": 0}, "reduction=0: must be a whole number"),
        ({"L": 0}, "L=0: must be a whole number"),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SKAttention(8, **options)
