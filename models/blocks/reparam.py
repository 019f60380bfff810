"""Parallel convolutions that training sees apart: RepConv and the blocks made of it.

Ding et al., RepVGG, CVPR 2021: a 3x3 and a 1x1 convolution, each with its norm, and a norm alone
where the shape allows, are summed before the activation.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.activations import SiLU
from models.common import C3, Conv, Residual, autopad
from models.spelling import short_names


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class RepConv(nn.Module):
    """RepVGG's convolution under YOLOv7's names: `rbr_dense`, `rbr_1x1`, `rbr_identity`.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the larger convolution, 3.
        stride: along both sides.
        padding: None or 1, the only one that keeps both branches in step.
        groups: of channels.
        act: True for SiLU, False for none, or a module.
    """

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        act: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        if kernel != 3 or autopad(kernel, padding) != 1:
            raise ValueError(f"kernel {kernel}, padding {padding}: takes 3 and 1 only")
        alone = inputs == outputs and stride == 1
        self.rbr_identity = nn.BatchNorm2d(inputs) if alone else None
        self.rbr_dense = _conv_norm(inputs, outputs, 3, stride, groups)
        self.rbr_1x1 = _conv_norm(inputs, outputs, 1, stride, groups)
        self.act = SiLU() if act is True else act if isinstance(act, nn.Module) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        total = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.rbr_identity is not None:
            total = total + self.rbr_identity(x)
        return self.act(total)


class RepVGGBlock(RepConv):
    """RepConv with ReLU, as in RepVGG itself."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, padding, act=nn.ReLU())


class RepBlock(nn.Module):
    """A chain of RepVGG blocks; the first changes the channels (Li et al., YOLOv6, 2022)."""

    def __init__(self, inputs: int, outputs: int, repeats: int = 1) -> None:
        super().__init__()
        self.conv1 = RepVGGBlock(inputs, outputs)
        self.block = nn.Sequential(*(RepVGGBlock(outputs, outputs) for _ in range(repeats - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.block(self.conv1(x))


class RepConvN(nn.Module):
    """RepVGG's convolution under YOLOv9's names, `conv1` and `conv2`, without the norm alone."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Conv(inputs, outputs, 3, act=False)
        self.conv2 = Conv(inputs, outputs, 1, act=False)
        self.act = SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        wide, narrow = (path(x) for path in (self.conv1, self.conv2))
        return self.act(wide + narrow)


class RepBottleneck(Residual):
    """RepConvN, then a 3x3 convolution; the input is added if shortcut is set."""

    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__(channels)
        self.cv1, self.cv2 = RepConvN(channels, channels), Conv(channels, channels, 3)
        self.residual = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        y = self.attend(self.cv2(self.cv1(x)))
        return x + y if self.residual else y


class RepCSP(C3):
    """C3 of RepBottlenecks."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(RepBottleneck(hidden, shortcut) for _ in range(repeats)))


class RepNCSPELAN4(nn.Module):
    """YOLOv9's GELAN block (Wang et al., ECCV 2024).

    Rows write [c2, c3, c4, n]. Only c2 is scaled by the width of the graph, as in the programs that
    have the block: c3 are the channels of the first convolution, of which half pass on, c4 those of
    each further step, and n the bottlenecks of a RepCSP.
    """

    def __init__(self, inputs: int, outputs: int, c3: int, c4: int, n: int = 1) -> None:
        super().__init__()
        steps = [nn.Sequential(RepCSP(width, c4, n), Conv(c4, c4, 3)) for width in (c3 // 2, c4)]
        self.cv1, self.cv4 = Conv(inputs, c3), Conv(c3 + 2 * c4, outputs)
        self.cv2, self.cv3 = steps

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]; c3 is even."""
        first, second = self.cv1(x).chunk(2, dim=1)
        third = self.cv2(second)
        return self.cv4(torch.cat((first, second, third, self.cv3(third)), dim=1))


class ShuffledRep(nn.Module):
    """Half of the channels pass a RepConv, then both halves are mixed channel by channel.

    RCS-YOLO (Kang et al., MICCAI 2023), section 2.1, the block in training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.repconv = RepConv(channels // 2, channels // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]; C is even."""
        straight, deep = x.chunk(2, dim=1)
        return torch.stack((straight, self.repconv(deep)), dim=2).flatten(1, 2)


class RCSOSA(nn.Module):
    """One-shot aggregation of shuffled RepConvs (RCS-YOLO, section 2.2).

    The map after the first RepConv and after each of two chains of repeats // 2 shuffled ones are
    concatenated. The hidden channels are a share of the inputs here, a multiple of 8.
    """

    def __init__(
        self, inputs: int, outputs: int, repeats: int = 1, se: bool = False, expansion: float = 0.5
    ) -> None:
        super().__init__()
        if se:
            raise ValueError("se: leave it out, and put a row of SE behind this one")
        hidden = math.ceil(int(inputs * expansion) / 8) * 8
        self.conv1 = RepConv(inputs, hidden)
        self.sr1, self.sr2 = (
            nn.Sequential(*(ShuffledRep(hidden) for _ in range(repeats // 2))) for _ in range(2)
        )
        self.conv3 = RepConv(3 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        first = self.conv1(x)
        second = self.sr1(first)
        return self.conv3(torch.cat((first, second, self.sr2(second)), dim=1))
