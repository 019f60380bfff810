"""CPCA, channel prior convolutional attention: a gate per channel, then surroundings of four sizes.

Huang, Chen, Zou, Lu and Chen, "Channel Prior Convolutional Attention for Medical Image
Segmentation", Computers in Biology and Medicine 178, 2024, https://arxiv.org/abs/2306.05196. With
one convolution P, 1x1, and F two linear layers with ReLU between them,

    y = GELU(P(x)), then y = y (sigmoid(F(mean y)) + sigmoid(F(max y))), pooled over the map
    z = conv 5x5(y)
    a = z + sum over k = 7, 11, 21 of conv k x 1(conv 1 x k(z))
    out = P(P(a) y)

with depthwise convolutions. [B, C, H, W] keeps its shape.

Choices: P is one convolution that is used three times, as in the authors' code, so its weight has
three gradients. The two sigmoids are added, so that a channel's factor is between 0 and 2, where
CBAM has a sigmoid of the sum. Positions that share a maximum share its gradient evenly. This
replaces x, and its output is small at first; `residual=True` adds the input. There is one hidden
value at least.

Cost: C^2 + 2 C^2 / r + C / r + 112 C parameters, 127,040 at 256 channels; 39 map sizes of memory
traffic forward and 111 with backward, and 11 kept for backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -12.06 (-18.52 to -5.61), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +1.15 (-1.92 to +4.22), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -12.56 (-15.95 to -9.17), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_flag, check_reduction
from models.attention._numerics import convolve_row
from models.attention._registry import register
from models.attention.fast.gates import pool, scale


@register("CPCAAttention", "CPCA_Attention")
class CPCA(nn.Module):
    """Scales channels, then replaces each position by a product of itself and its surroundings.

    Args:
        channels: C, of the map.
        reduction: the channel gate has max(1, C // reduction) hidden values.
        residual: whether the input is added to the output.

    Raises:
        ValueError: reduction is not a whole number from 1 up to the channels (or 4), or residual
            is not true or false.
    """

    tutorial_order = ("reduction", "residual")
    usual_values = (8, 16, 32)

    def __init__(self, channels: int, *, reduction: int = 4, residual: bool = False) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 4)
        self.residual = check_flag("residual", residual)
        self.ca = _ChannelGate(channels, max(1, channels // reduction))
        self.dconv5_5 = _depthwise(channels, 5, 5)
        self.dconv1_7, self.dconv7_1 = _depthwise(channels, 1, 7), _depthwise(channels, 7, 1)
        self.dconv1_11, self.dconv11_1 = _depthwise(channels, 1, 11), _depthwise(channels, 11, 1)
        self.dconv1_21, self.dconv21_1 = _depthwise(channels, 1, 21), _depthwise(channels, 21, 1)
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        y = nn.functional.gelu(self.conv(x))  # [B, C, H, W], as all below
        y = scale(y, self.ca(y))
        z = self.dconv5_5(y)
        a = z + self.dconv7_1(self.dconv1_7(z))
        a = a + self.dconv11_1(self.dconv1_11(z))
        a = a + self.dconv21_1(convolve_row(self.dconv1_21, z))
        out = self.conv(self.conv(a) * y).to(x.dtype)
        return x + out if self.residual else out

    def extra_repr(self) -> str:
        return f"residual={self.residual}"


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, y: Tensor) -> Tensor:
        """[B, C, H, W] -> factors between 0 and 2, [B, C, 1, 1]."""
        both = torch.cat((pool(y), y.amax((2, 3), keepdim=True)), 3)  # [B, C, 1, 2]
        return self.fc2(self.fc1(both).relu()).sigmoid().sum(3, keepdim=True)


def _depthwise(channels: int, height: int, width: int) -> nn.Conv2d:
    padding = (height // 2, width // 2)
    return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels)
