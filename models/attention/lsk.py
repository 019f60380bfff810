"""LSK, large selective kernel: two large fields of view, chosen between at every position.

Li, Hou, Zheng, Cheng, Yang and Li, "Large Selective Kernel Network for Remote Sensing Object
Detection", ICCV 2023, https://arxiv.org/abs/2303.09030, equations 2 to 8. With depthwise
convolutions,

    t1 = conv 5x5 of x        t2 = conv 7x7, dilation 3, of t1 (a field of 23 x 23)
    u1, u2 = 1x1 convolutions of t1 and t2 to C / 2 channels
    s = sigmoid(conv 7x7, 2 -> 2, of [mean, max over the channels of u1 and u2 together])
    out = x * conv 1x1(u1 * s[0] + u2 * s[1])

Choices: the last factor has no sigmoid, as in the authors' code, so that this replaces x rather
than scales it: at first the output is about a tenth of the input. With an odd number of channels
the halves are rounded down.

Cost: about 1.5 C^2 + 76.5 C parameters, 118,470 at 256, and as many multiply-adds a position. It is
bound by arithmetic, not by memory.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -3.08 (-9.23 to +3.06), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._registry import register


@register("LSKblock", "LSKBlock")
class LSK(nn.Module):
    """Chooses at each position between two fields of view; there are no options."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = max(1, channels // 2)
        self.conv0 = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv_spatial = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.conv1 = nn.Conv2d(channels, half, 1)
        self.conv2 = nn.Conv2d(channels, half, 1)
        self.conv_squeeze = nn.Conv2d(2, 2, 7, padding=3)
        self.conv = nn.Conv2d(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        near = self.conv0(x)  # [B, C, H, W], t1
        far = self.conv2(self.conv_spatial(near))  # [B, C / 2, H, W], u2
        near = self.conv1(near)  # [B, C / 2, H, W], u1
        # Mean and maximum of both together, without writing them side by side, [B, 1, H, W] each.
        mean = (near.mean(1, keepdim=True) + far.mean(1, keepdim=True)) / 2
        largest = torch.maximum(near.amax(1, keepdim=True), far.amax(1, keepdim=True))
        first, second = self.conv_squeeze(torch.cat((mean, largest), 1)).sigmoid().chunk(2, 1)
        return x * self.conv(near * first + far * second).to(x.dtype)
