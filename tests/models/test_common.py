"""The common blocks: padding, fusing, shared activations, and the structure behind the keys."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.activations import SiLU
from models.common import (
    C3,
    SPPF,
    Bottleneck,
    Concat,
    Conv,
    DWConv,
    autopad,
    share_activation,
)


@pytest.mark.parametrize(
    ("arguments", "padding"),
    [((3,), 1), ((6, 2), 2), ((5, None, 2), 4), (((1, 3),), [0, 1]), ((1,), 0)],
)
def test_autopad(arguments: tuple, padding: object) -> None:
    assert autopad(*arguments) == padding


def test_silu_is_in_place_only_without_autograd() -> None:
    x = torch.linspace(-3, 3, 7)
    kept = x.clone()
    torch.testing.assert_close(SiLU()(x), kept * torch.sigmoid(kept))
    assert torch.equal(x, kept)
    with torch.no_grad():
        assert SiLU()(x) is x


def test_conv_is_convolution_norm_activation() -> None:
    block = Conv(4, 8, 3, 2, act=nn.ReLU()).eval()
    x = torch.randn(2, 4, 9, 9)
    expected = F.relu(block.bn(F.conv2d(x, block.conv.weight, stride=2, padding=1)))
    torch.testing.assert_close(block(x), expected)
    assert isinstance(Conv(4, 8, act=False).act, nn.Identity)


@pytest.mark.parametrize("block", [Conv(6, 8, 3, 1, None, 2, 2), DWConv(6, 12, 3, 2)])
@torch.no_grad()
def test_fusing_keeps_outputs(block: Conv) -> None:
    assert block.bn is not None
    for value in (block.bn.running_mean, block.bn.weight, block.bn.bias):
        assert value is not None
        value.normal_()
    x = torch.randn(2, 6, 11, 11)
    before = block.eval()(x)
    block.fuse()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in block.modules())
    torch.testing.assert_close(block(x), before, rtol=1e-4, atol=1e-4)
    block.fuse()  # a second time changes nothing
    torch.testing.assert_close(block(x), before, rtol=1e-4, atol=1e-4)


def test_one_activation_for_all_that_asked_for_none_of_their_own() -> None:
    network = nn.Sequential(Conv(4, 4), Conv(4, 4, act=nn.Tanh()), Conv(4, 4, act=False), C3(4, 4))
    shared = nn.ReLU()
    share_activation(network, shared)
    assert network[0].act is network[3].cv1.act is network[3].m[0].cv2.act is shared
    assert [type(network[i].act) for i in (1, 2)] == [nn.Tanh, nn.Identity]


def test_depthwise_groups_are_the_greatest_common_divisor() -> None:
    assert DWConv(8, 12, 3).conv.groups == 4
    assert DWConv(8, 8, 3, 1, 2).conv.dilation == (2, 2)


def test_bottleneck_adds_its_input_only_if_it_can() -> None:
    x = torch.randn(1, 8, 5, 5)
    block = Bottleneck(8, 8).eval()
    torch.testing.assert_close(block(x), x + block.cv2(block.cv1(x)))
    assert not Bottleneck(8, 8, False).residual
    assert not Bottleneck(8, 16).residual


def test_c3_joins_the_deep_half_first() -> None:
    block = C3(8, 16, 2).eval()
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(
        block(x), block.cv3(torch.cat((block.m(block.cv1(x)), block.cv2(x)), 1))
    )
    assert [name for name, _ in block.named_children()] == ["cv1", "cv2", "cv3", "m"]
    assert len(block.m) == 2


def test_sppf_equals_pools_of_three_sides() -> None:
    block = SPPF(8, 16, 5).eval()
    x = torch.randn(1, 8, 16, 16)
    y = block.cv1(x)
    pools = [F.max_pool2d(y, side, 1, side // 2) for side in (5, 9, 13)]
    torch.testing.assert_close(block(x), block.cv2(torch.cat((y, *pools), 1)))


def test_concat_joins_channels_and_nothing_else() -> None:
    assert Concat()([torch.zeros(1, 2, 3, 3), torch.zeros(1, 5, 3, 3)]).shape == (1, 7, 3, 3)
    with pytest.raises(ValueError, match="dimension 1, not 2"):
        Concat(2)


def test_blocks_keep_channels_last() -> None:
    x = torch.randn(1, 8, 8, 8).to(memory_format=torch.channels_last)
    for block in (Conv(8, 16, 3), C3(8, 16), SPPF(8, 16)):
        assert block.to(memory_format=torch.channels_last)(x).is_contiguous(
            memory_format=torch.channels_last
        )


@torch.no_grad()
def test_options_of_sppf() -> None:
    """A row that states the number of pools has no activation after its first convolution."""
    assert isinstance(SPPF(8, 8, 5).cv1.act, nn.SiLU)
    assert isinstance(SPPF(8, 8, 5, 3).cv1.act, nn.Identity)
    assert isinstance(SPPF(8, 8, 5, 3, False, True).cv1.act, nn.SiLU)
    block, x = SPPF(8, 8, 5, 2, True).eval(), torch.randn(2, 8, 6, 10)
    first = block.cv1(x)
    pooled = [first, block.m(first), block.m(block.m(first))]
    torch.testing.assert_close(block(x), x + block.cv2(torch.cat(pooled, 1)))
    assert not SPPF(8, 16, 5, 2, True).residual


@pytest.mark.parametrize("act", [False, True, nn.ReLU()])
def test_the_activation_may_stand_where_older_files_have_it(act: bool | nn.Module) -> None:
    for conv in (Conv(4, 4, 3, 1, None, 1, act), DWConv(4, 4, 3, 1, act)):  # type: ignore[arg-type]
        assert conv.conv.dilation == (1, 1)
        assert type(conv.act) is type(Conv(4, 4, act=act).act)
    assert Conv(4, 4, 3, 1, None, 1, 2, False).conv.dilation == (2, 2)
