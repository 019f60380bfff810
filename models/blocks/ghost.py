"""Ghost blocks, for models/hub/yolov5s-ghost.yaml (Han et al., "GhostNet", CVPR 2020).

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H', W'].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.common import C3, Conv, DWConv, Residual, Sides
from models.spelling import short_names


class GhostConv(nn.Module):
    """Half of the channels by a convolution, the rest from those by a 5x5 depth-wise one."""

    @short_names
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
        self.cv1 = Conv(inputs, half, kernel, stride, groups=groups, act=act)
        self.cv2 = Conv(half, half, 5, groups=half, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H', W']."""
        y = self.cv1(x)
        return torch.cat((y, self.cv2(y)), dim=1)


class GhostBottleneck(Residual):
    """Two ghost convolutions with a residual.

    At stride 2 a depth-wise convolution between them halves the map. Any other stride is ignored.
    """

    @short_names
    def __init__(self, inputs: int, outputs: int, kernel: Sides = 3, stride: int = 1) -> None:
        super().__init__(outputs)
        half = outputs // 2
        shrinks = stride == 2
        middle = DWConv(half, half, kernel, stride, act=False) if shrinks else nn.Identity()
        self.conv = nn.Sequential(
            GhostConv(inputs, half), middle, GhostConv(half, outputs, act=False)
        )
        self.shortcut: nn.Module = nn.Identity()
        if shrinks:
            self.shortcut = nn.Sequential(
                DWConv(inputs, inputs, kernel, stride, act=False), Conv(inputs, outputs, act=False)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        return self.attend(self.conv(x)) + self.shortcut(x)


class C3Ghost(C3):
    """C3 with ghost bottlenecks, which do not use the arguments shortcut and groups."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(GhostBottleneck(hidden, hidden) for _ in range(repeats)))
