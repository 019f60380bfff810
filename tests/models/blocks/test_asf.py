"""ASF-YOLO's joins, against the same sums computed cell by cell."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.blocks import asf
from models.graph.info import row_info
from tests.models.blocks.test_fuse import joined, maps
from tests.models.blocks.test_reparam import randomize
from tests.models.blocks.test_scales import pyramid
from utils.errors import UserError


def repeated(x: Tensor, times: int) -> Tensor:
    return x.repeat_interleave(times, 2).repeat_interleave(times, 3)


@pytest.mark.parametrize("first", [5, 6])
def test_scal_seq_is_the_maximum_over_three_scales(first: int) -> None:
    block = asf.ScalSeq([first, 4, 3], 6).eval()
    torch.nn.init.normal_(block.bn.running_mean)
    given = pyramid(first, 4, 3)
    start = given[0] if first == 6 else block.conv0(given[0])
    levels = [start, repeated(block.conv1(given[1]), 2), repeated(block.conv2(given[2]), 4)]
    weight = block.conv3d.weight[..., 0]
    found = []
    for level in levels:
        y = torch.einsum("oi,bihw->bohw", weight, level) + block.conv3d.bias.view(1, -1, 1, 1)
        y = (y - block.bn.running_mean.view(1, -1, 1, 1)) / (1 + block.bn.eps) ** 0.5
        found.append(torch.where(y > 0, y, 0.1 * y))
    expected = torch.maximum(torch.maximum(found[0], found[1]), found[2])
    torch.testing.assert_close(block(given), expected)
    assert block.to(memory_format=torch.channels_last)(given).shape == expected.shape


def test_zoom_cat_pools_and_repeats() -> None:
    large, middle, small = given = pyramid(3, 4, 5)
    corners = torch.stack([large[..., r::2, c::2] for r in (0, 1) for c in (0, 1)])
    expected = torch.cat((corners.amax(0) + corners.mean(0), middle, repeated(small, 2)), 1)
    torch.testing.assert_close(asf.ZoomCat([3, 4, 5])(given), expected)


def test_attention_model_weighs_channels_of_the_first_map_then_places() -> None:
    block = asf.ChannelPlaceSum([32, 32], 64).eval()
    randomize(block)
    a, b = maps(2, 32)
    kernel = block.channel_att.conv.weight[0, 0]
    assert len(kernel) == 3
    means = torch.nn.functional.pad(a.flatten(2).mean(2), (1, 1))
    gates = sum(kernel[i] * means[:, i : i + 32] for i in range(3)).sigmoid()
    total = a * gates[:, :, None, None] + b
    place = block.local_att

    def gate(strip: Tensor, last: torch.nn.Conv2d) -> Tensor:
        hidden = place.bn((place.conv_1x1.weight[:, :, 0, 0] @ strip)[..., None]).clamp(min=0)
        return (last.weight[:, :, 0, 0] @ hidden[..., 0]).sigmoid()

    rows, columns = gate(total.mean(3), place.F_h), gate(total.mean(2), place.F_w)
    expected = total * rows[:, :, :, None] * columns[:, :, None]
    torch.testing.assert_close(block([a, b]), expected, rtol=1e-4, atol=1e-5)


def test_a_row_of_attention_model() -> None:
    model = joined("attention_model", [256], [24], [24])
    assert row_info(model.model[3]).width == 24
    assert torch.isfinite(model(torch.rand(1, 3, 64, 64))[0]).all()
    with pytest.raises(UserError, match=r"attention_model \[\]: reads 2 maps, not 3"):
        joined("attention_model", [], [24], [24], [24])
