"""ResBlock is ResNet's bottleneck, by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.blocks.residual import ResBlock
from models.common import Conv, share_activation
from tests.models.attention.golden import draws


def plain_conv(block: Any, x: Tensor, stride: int = 1) -> Tensor:
    """Convolution and norm in eval mode, without activation."""
    weight, norm = block.conv.weight, block.bn
    y = torch.nn.functional.conv2d(x, weight, stride=stride, padding=weight.shape[2] // 2)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    shift = norm.bias - norm.running_mean * scale
    return y * scale[:, None, None] + shift[:, None, None]


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "downsampling", "projects"),
    [(8, 8, 1, False, False), (8, 8, 1, True, True), (8, 12, 1, False, True),
     (8, 8, 2, False, True)],
)  # fmt: skip
def test_the_formula(
    inputs: int, outputs: int, stride: int, downsampling: bool, projects: bool
) -> None:
    block = ResBlock(inputs, outputs, stride, downsampling).eval()
    share_activation(block, nn.SiLU())  # its own ReLUs stay
    x = draws(7, 2, inputs, 6, 8)
    y = plain_conv(block.cv1, x).relu()
    y = plain_conv(block.cv3, plain_conv(block.cv2, y, stride).relu())
    assert isinstance(block.shortcut, Conv) == projects
    straight = plain_conv(block.shortcut, x, stride) if projects else x
    torch.testing.assert_close(block(x), (y + straight).relu())


def test_channels_between_the_convolutions() -> None:
    assert ResBlock(8, 32).cv2.conv.weight.shape == (8, 8, 3, 3)
    assert ResBlock(8, 32, expansion=1).cv2.conv.weight.shape == (32, 32, 3, 3)


def test_attention_acts_before_the_addition() -> None:
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 0

    block, x = ResBlock(8, 8).eval(), draws(7, 1, 8, 4, 4)
    block.attention = Nothing()
    assert torch.equal(block(x), x.relu())
