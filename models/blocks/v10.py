"""The blocks of YOLOv10: SCDown, PSA and C2fCIB with its parts.

Wang et al., "YOLOv10: Real-Time End-to-End Object Detection", NeurIPS 2024,
https://arxiv.org/abs/2405.14458, section 3.3. As in models/common.py, attribute names are parts of
state-dict keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.activations import SiLU
from models.blocks.v8 import C2f, PSABlock
from models.common import Conv, Residual


class SCDown(nn.Module):
    """A 1x1 convolution to the output channels, then a depth-wise one with the stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.cv1 = Conv(inputs, outputs)
        self.cv2 = Conv(outputs, outputs, kernel, stride, groups=outputs, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        return self.cv2(self.cv1(x))


class PSA(PSABlock):
    """Two halves of the channels, the second through one attention block.

    It computes what C2PSA with one repeat computes, and has other keys: those of the attention
    block are not below `m`.
    """

    def __init__(self, inputs: int, outputs: int, expansion: float = 0.5) -> None:
        if inputs != outputs:
            raise ValueError(
                f"keeps the number of channels, but gets {inputs} and should give {outputs}"
            )
        hidden = int(inputs * expansion)
        super().__init__(hidden, max(hidden // 64, 1))
        self.cv1 = Conv(inputs, 2 * hidden)
        self.cv2 = Conv(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        straight, deep = self.cv1(x).chunk(2, dim=1)
        return self.cv2(torch.cat((straight, super().forward(deep)), dim=1))


class RepVGGDW(nn.Module):
    """The activation of the sum of two depth-wise convolutions, 7x7 and 3x3."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv(channels, channels, 7, groups=channels, act=False)
        self.conv1 = Conv(channels, channels, 3, groups=channels, act=False)
        self.act = SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.act(self.conv(x) + self.conv1(x))


class CIB(Residual):
    """Compact inverted block: depth-wise and 1x1 convolutions by turns, the middle twice as wide.

    With `large` the depth-wise convolution in the middle is a RepVGGDW. The input is added if
    shortcut is set and the channels agree.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        shortcut: bool = True,
        expansion: float = 0.5,
        large: bool = False,
    ) -> None:
        super().__init__(outputs)
        hidden = 2 * int(outputs * expansion)
        self.cv1 = nn.Sequential(
            Conv(inputs, inputs, 3, groups=inputs),
            Conv(inputs, hidden),
            RepVGGDW(hidden) if large else Conv(hidden, hidden, 3, groups=hidden),
            Conv(hidden, outputs),
            Conv(outputs, outputs, 3, groups=outputs),
        )
        self.residual = bool(shortcut) and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        y = self.attend(self.cv1(x))
        return x + y if self.residual else y


class C2fCIB(C2f):
    """C2f whose links are compact inverted blocks; `large` gives them a large kernel."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = False,
        large: bool = False,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        self.large = bool(large)  # make_inner reads it while the base class builds
        super().__init__(inputs, outputs, repeats, shortcut, groups, expansion)

    def make_inner(self, shortcut: bool, groups: int) -> nn.Module:
        return CIB(self.hidden, self.hidden, shortcut, 1.0, self.large)
