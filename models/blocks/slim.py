"""Slim-neck: GSConv and the cross-stage blocks made of it (Li et al., arXiv 2206.02424).

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H', W'].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.common import Conv, DWConv, Residual, Sides


class GSConv(nn.Module):
    """Half of the channels by a convolution, half from these by a depth-wise 5x5 one.

    The two halves are mixed at the end: the even channels of both come first, then the odd ones.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sides = 1,
        stride: Sides = 1,
        groups: int = 1,
        act: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        half = outputs // 2
        if outputs % 2:
            raise ValueError(f"gives two equal halves of channels, which {outputs} are not")
        self.cv1 = Conv(inputs, half, kernel, stride, groups=groups, act=act)
        self.cv2 = Conv(half, half, 5, groups=half, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        dense = self.cv1(x)
        both = torch.cat((dense, self.cv2(dense)), dim=1)
        return torch.cat((both[:, ::2], both[:, 1::2]), dim=1)


class GSBottleneck(Residual):
    """Two GSConvs beside a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, expansion: float = 0.5) -> None:
        super().__init__(outputs)
        hidden = int(outputs * expansion)
        self.conv_lighting = nn.Sequential(
            GSConv(inputs, hidden), GSConv(hidden, outputs, 3, act=False)
        )
        self.shortcut = self.make_shortcut(inputs, outputs)

    def make_shortcut(self, inputs: int, outputs: int) -> nn.Module:
        """The convolution beside the branch: [B, inputs, H, W] -> [B, outputs, H, W]."""
        return Conv(inputs, outputs, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.attend(self.conv_lighting(x)) + self.shortcut(x)


class GSBottleneckC(GSBottleneck):
    """GSBottleneck with a depth-wise 3x3 convolution beside the branch."""

    def make_shortcut(self, inputs: int, outputs: int) -> nn.Module:
        return DWConv(inputs, outputs, 3, act=False)


class VoVGSCSP(nn.Module):
    """Cross-stage block of bottlenecks of GSConv: half of the channels pass them, half do not.

    `shortcut` and `groups` are there for the order of a row's arguments and have no effect. The
    authors' class has a convolution `res` besides, which its forward pass does not use.
    """

    bottleneck: type[GSBottleneck] = GSBottleneck

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
        blocks = (self.bottleneck(hidden, hidden, 1.0) for _ in range(repeats))
        self.gsb = nn.Sequential(*blocks)
        self.cv3 = Conv(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.cv3(torch.cat((self.cv2(x), self.gsb(self.cv1(x))), dim=1))


class VoVGSCSPC(VoVGSCSP):
    """VoVGSCSP of the bottlenecks with the cheaper shortcut."""

    bottleneck = GSBottleneckC
