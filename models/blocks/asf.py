"""Rows of ASF-YOLO that join maps: ScalSeq, Zoom_cat, attention_model.

Kang et al., Image and Vision Computing 2024. Each class takes the list of its inputs' channels
first, and `out_channels` says what it gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.fuse import check_count, same_width
from models.common import Conv


class ScalSeq(nn.Module):
    """Scale sequence fusion (section 3.1).

    Three maps, the finest first, are brought to `outputs` channels and the size of the first. They
    pass a 1x1x1 convolution over the stack with norm and LeakyReLU(0.1); the maximum of the three
    remains. Maps after the third are refused.
    """

    joins_sizes = True

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        check_count(channels, 3)
        first, second, third = channels
        self.conv0 = Conv(first, outputs) if first != outputs else None
        self.conv1, self.conv2 = Conv(second, outputs), Conv(third, outputs)
        # A convolution of 1x1x1 cells. Its weight has three dimensions, since PyTorch cannot bring
        # a network with five-dimensional weights into channels-last order.
        self.conv3d = nn.Conv1d(outputs, outputs, 1)
        self.bn = nn.BatchNorm1d(outputs)
        self.out_channels = outputs

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, outputs, H_0, W_0]."""
        fine = maps[0] if self.conv0 is None else self.conv0(maps[0])
        coarse = (self.conv1(maps[1]), self.conv2(maps[2]))
        resized = (F.interpolate(x, fine.shape[2:]) for x in coarse)
        stack = torch.stack((fine, *resized), dim=2)
        fused = self.bn(self.conv3d(stack.flatten(2)))
        return F.leaky_relu(fused, 0.1).view(stack.shape).amax(2)


class ZoomCat(nn.Module):
    """`Zoom_cat`, triple feature encoding (section 3.2): three maps at the size of the second.

    The first, larger one is pooled by the sum of maximum and mean; the third is enlarged by nearest
    neighbours.
    """

    joins_sizes = True

    def __init__(self, channels: Sequence[int], *unused: object) -> None:
        super().__init__()
        check_count(channels, 3)
        self.out_channels = sum(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, sum of C_i, H_1, W_1]."""
        large, middle, small = maps
        size = (middle.shape[2], middle.shape[3])
        pooled = F.adaptive_max_pool2d(large, size) + F.adaptive_avg_pool2d(large, size)
        return torch.cat((pooled, middle, F.interpolate(small, size)), dim=1)


class _ChannelGate(nn.Module):
    """Scales each channel by a convolution over the means of neighbouring channels, as in ECA."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        side = int((math.log2(channels) + 1) / 2)
        side += side % 2 == 0
        self.conv = nn.Conv1d(1, 1, side, padding=side // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        means = x.mean((2, 3))[:, None]
        return x * self.conv(means).sigmoid()[:, 0, :, None, None]


class _PlaceGate(nn.Module):
    """Scales each cell by gates of its row and its column, as in coordinate attention."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.conv_1x1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden)
        self.F_h = nn.Conv2d(hidden, channels, 1, bias=False)
        self.F_w = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        rows, columns = x.mean(3)[:, :, None], x.mean(2)[:, :, None]  # B C 1 H and B C 1 W
        both = F.relu(self.bn(self.conv_1x1(torch.cat((rows, columns), dim=3))))
        rows, columns = both.split((x.shape[2], x.shape[3]), dim=3)
        return x * self.F_h(rows).sigmoid().transpose(2, 3) * self.F_w(columns).sigmoid()


class ChannelPlaceSum(nn.Module):
    """`attention_model` (section 3.3): the sum of two maps, whose places are then weighted.

    The channels of the first map are weighted before. Arguments of the row, a channel count, are
    ignored.
    """

    equal_channels = True

    def __init__(self, channels: Sequence[int], *unused: object) -> None:
        super().__init__()
        check_count(channels, 2)
        self.out_channels = same_width(channels)
        self.channel_att = _ChannelGate(self.out_channels)
        self.local_att = _PlaceGate(self.out_channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Two maps [B, C, H, W] -> [B, C, H, W]."""
        return self.local_att(self.channel_att(maps[0]) + maps[1])
