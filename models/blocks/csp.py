"""Further cross-stage-partial blocks: of DAMO-YOLO, Scaled-YOLOv4 and YOLOv7.

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


class ResidualNeck(Residual):
    """ResNet's bottleneck: a 1x1, a 3x3 and a 1x1 convolution, and the input if shortcut is set."""

    def __init__(self, channels: int, shortcut: bool, groups: int, expansion: float) -> None:
        super().__init__(channels)
        hidden = int(channels * expansion)
        self.cv1, self.cv3 = Conv(channels, hidden), Conv(hidden, channels)
        self.cv2 = Conv(hidden, hidden, 3, groups=groups)
        self.residual = bool(shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        y = self.attend(self.cv3(self.cv2(self.cv1(x))))
        return x + y if self.residual else y


class ResCSPB(nn.Module):
    """YOLOv7's cross-stage block B of ResNet bottlenecks (Wang et al., CVPR 2023).

    Both halves follow one convolution to as many channels as the output has, as in BottleneckCSP2.
    """

    merge = "cv3"
    inner_expansion = 0.5

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.cv1, self.cv2 = Conv(inputs, outputs), Conv(outputs, outputs)
        self.cv3 = Conv(2 * outputs, outputs)
        necks = (
            ResidualNeck(outputs, shortcut, groups, self.inner_expansion) for _ in range(repeats)
        )
        self.m = nn.Sequential(*necks)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        x = self.cv1(x)
        return self.cv3(torch.cat((self.m(x), self.cv2(x)), dim=1))


class ResXCSPB(ResCSPB):
    """ResCSPB of ResNeXt's bottlenecks: 32 groups over all channels of the block."""

    inner_expansion = 1.0

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 32,
    ) -> None:
        super().__init__(inputs, outputs, repeats, shortcut, groups)


class ResCSPC(nn.Module):
    """YOLOv7's cross-stage block C: a 1x1 convolution follows the bottlenecks.

    Each half has its own convolution to int(outputs * expansion) channels, as in C3.
    """

    merge = "cv4"
    inner_expansion = 0.5

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(outputs * expansion)
        self.cv1, self.cv2 = Conv(inputs, hidden), Conv(inputs, hidden)
        self.cv3, self.cv4 = Conv(hidden, hidden), Conv(2 * hidden, outputs)
        necks = (
            ResidualNeck(hidden, shortcut, groups, self.inner_expansion) for _ in range(repeats)
        )
        self.m = nn.Sequential(*necks)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        deep = self.cv3(self.m(self.cv1(x)))
        return self.cv4(torch.cat((deep, self.cv2(x)), dim=1))


class ResXCSPC(ResCSPC):
    """ResCSPC of ResNeXt's bottlenecks: 32 groups over all channels of the block."""

    inner_expansion = 1.0

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 32,
        expansion: float = 0.5,
    ) -> None:
        super().__init__(inputs, outputs, repeats, shortcut, groups, expansion)
