"""Weighted fusion of maps, against the formula written out per pixel."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from models.blocks import bifpn
from models.graph.info import row_info
from tests.models.blocks.test_fuse import joined, maps
from utils.errors import UserError

WEIGHTS = [0.5, -1.0, 2.0]
SHARES = [0.5 / 2.5001, 0.0, 2.0 / 2.5001]  # a negative weight counts as 0


def test_maps_are_concatenated_with_normalized_weights() -> None:
    block = bifpn.BiFPNConcat([3, 3, 3])
    assert block.w.tolist() == [1, 1, 1]
    block.w.data = torch.tensor(WEIGHTS)
    given = maps(3)
    expected = torch.cat([x * share for x, share in zip(given, SHARES, strict=True)], dim=1)
    torch.testing.assert_close(block(given), expected)
    with pytest.raises(ValueError, match="dimension 1, not 2"):
        bifpn.BiFPNConcat([3, 3], 2)


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [(bifpn.BiFPNAdd, F.silu, lambda x: x), (bifpn.WeightedSum, F.relu, F.silu)],
)
def test_the_weighted_sum_is_activated_then_convolved(kind, before, after) -> None:
    block = kind([4, 4, 4], 8, 16).eval()
    block.w.data = torch.tensor(WEIGHTS)
    given = maps(3, 4)
    total = sum(x * share for x, share in zip(given, SHARES, strict=True))
    conv = getattr(block.conv, "conv", block.conv)
    expected = torch.einsum("oi,bihw->bohw", conv.weight[:, :, 0, 0], before(total))
    if conv.bias is not None:
        expected = expected + conv.bias.view(1, -1, 1, 1)
    else:
        expected = expected / math.sqrt(1 + block.conv.bn.eps)  # of a fresh norm
    assert block.out_channels == 8
    torch.testing.assert_close(block(given), after(expected))


def test_bi_fpn_sums_without_a_convolution() -> None:
    block = bifpn.BiFPNSum([3, 3], 2)
    block.weight.data = torch.tensor([0.5, 2.0])
    a, b = maps(2)
    norm = 0.5 / (1 + math.exp(-0.5)) + 2 / (1 + math.exp(-2)) + 1e-4
    torch.testing.assert_close(block([a, b]), (0.5 * a + 2 * b) / norm)


@pytest.mark.parametrize(
    ("name", "given", "count", "width", "key"),
    [
        ("BiFPN_Concat2", [1], 2, 48, "w"),
        ("BiFPN_Concat3", [], 3, 72, "w"),
        ("Concat_BiFPN", [1], 3, 72, "w"),
        ("Concat_bifpn", [1], 2, 48, "w"),
        ("Concat_bifpn", [256, 256], 2, 24, "conv.bn.weight"),
        ("Concat_BiFPN", [256, 128], 2, 12, "conv.bn.weight"),
        ("BiFPN_Add2", [24, 24], 2, 24, "conv.bias"),
        ("BiFPN_Add2", [24, 48], 2, 48, "conv.bias"),
        ("BiFPN_Add3", [128, 128], 3, 24, "conv.bias"),
        ("BiFPN_Add3", [], 3, 24, "conv.bias"),
        ("Bi_FPN", [], 3, 24, "weight"),
    ],
)
def test_rows_of_weighted_fusion(
    name: str, given: list[int], count: int, width: int, key: str
) -> None:
    model = joined(name, given, *[[24]] * count)
    row = model.model[count + 1]
    assert row_info(row).width == width
    assert key in row.state_dict()
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()


def test_counts_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(UserError, match=r"BiFPN_Add2 \[256, 9\]: gets 24 channels, which"):
        joined("BiFPN_Add2", [256, 9], [24], [24])
    with pytest.raises(UserError, match=r"BiFPN_Add2 \[16, 16\]: needs .* 24, 16"):
        joined("BiFPN_Add2", [16, 16], [24], [16])
