"""Further cross-stage-partial blocks: CSPStage of DAMO-YOLO, BottleneckCSP2 of Scaled-YOLOv4.

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H, W].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.reparam import RepConv
from models.common import Bottleneck, Conv, Residual


class ReverseBlock(Residual):
    """A RepConv without the norm alone, a 3x3 convolution, and the input added."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.conv1 = Conv(channels, channels, 3)
        self.conv2 = RepConv(channels, channels)
        self.conv2.rbr_identity = None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.attend(self.conv1(self.conv2(x)))


class CSPStage(nn.Module):
    """The fusion block of Efficient RepGFPN (Xu et al., DAMO-YOLO, arXiv 2211.15444, section 2.2).

    One half of the channels goes straight; the other passes a chain of ReverseBlocks, the outputs
    of all of which are concatenated with the first half.
    """

    def __init__(self, inputs: int, outputs: int, repeats: int = 1) -> None:
        super().__init__()
        first = outputs // 2
        hidden = outputs - first
        self.conv1, self.conv2 = Conv(inputs, first), Conv(inputs, hidden)
        self.convs = nn.Sequential(*(ReverseBlock(hidden) for _ in range(repeats)))
        self.conv3 = Conv(first + repeats * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        maps, last = [self.conv1(x)], self.conv2(x)
        for block in self.convs:
            last = block(last)
            maps.append(last)
        return self.conv3(torch.cat(maps, dim=1))


class BottleneckCSP2(nn.Module):
    """The cross-stage block of Scaled-YOLOv4's neck (Wang et al., CVPR 2021).

    Both halves follow one convolution to as many channels as the output has. One norm, then Mish,
    is over both.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = False,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.cv1 = Conv(inputs, outputs)
        self.cv2 = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.cv3 = Conv(2 * outputs, outputs)
        self.bn = nn.BatchNorm2d(2 * outputs)
        self.m = nn.Sequential(
            *(Bottleneck(outputs, outputs, shortcut, groups, 1.0) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        x = self.cv1(x)
        return self.cv3(F.mish(self.bn(torch.cat((self.m(x), self.cv2(x)), dim=1))))
