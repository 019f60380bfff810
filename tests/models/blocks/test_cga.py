"""CGAFusion, its weights computed channel by channel."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.blocks import cga
from models.graph.info import row_info
from tests.models.blocks.test_fuse import joined, maps
from utils.errors import UserError


def test_each_value_has_a_weight() -> None:
    block = cga.CGAFusion([16, 16], 16)
    a, b = (F.pad(x, [2] * 4, mode="reflect") for x in maps(2, 16))
    total, inner = a + b, block.weights
    first, _, second = inner.ca
    means = total.flatten(2).mean(2)
    hidden = (means @ first.weight[:, :, 0, 0].T + first.bias).clamp(min=0)
    channels = hidden @ second.weight[:, :, 0, 0].T + second.bias
    pair = torch.stack((total.mean(1), total.max(1).values), 1)
    border = F.pad(pair, [3] * 4, mode="reflect")
    coarse = F.conv2d(border, inner.sa.weight, inner.sa.bias) + channels[:, :, None, None]
    refined = []
    for channel in range(16):
        both = F.pad(torch.stack((total[:, channel], coarse[:, channel]), 1), [3] * 4, "reflect")
        kernel, bias = inner.pa2.weight[channel, None], inner.pa2.bias[channel, None]
        refined.append(F.conv2d(both, kernel, bias))
    w = torch.cat(refined, 1).sigmoid()
    y = (1 + w) * a + (2 - w) * b
    expected = torch.einsum("oi,bihw->bohw", block.conv.weight[:, :, 0, 0], y)
    expected = expected + block.conv.bias.view(1, -1, 1, 1)
    torch.testing.assert_close(block([a, b]), expected, rtol=1e-4, atol=1e-5)


def test_a_row_of_cga_fusion() -> None:
    model = joined("CGAFusion", [256], [24], [24])
    assert row_info(model.model[3]).width == 24
    for side in (64, 8):
        assert torch.isfinite(model(torch.rand(1, 3, side, side))[0]).all()
    with pytest.raises(UserError, match=r"CGAFusion \[\]: reads 2 maps, not 3"):
        joined("CGAFusion", [], [24], [24], [24])
