"""Other convolutions: SimConv, DSConv, CoordConv, Involution.

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H/s, W/s].
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv, autopad


class SimConv(Conv):
    """Conv with ReLU (Li et al., YOLOv6, arXiv 2209.02976)."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, act=nn.ReLU())


class DSConv(nn.Module):
    """A depth-wise convolution, a 1x1 one, a norm and SiLU (Howard et al., arXiv 1704.04861).

    This is what YOLOv13's files mean; snake convolutions and distribution shifting ones have the
    same name elsewhere.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        around = autopad(kernel, padding, dilation)
        assert isinstance(around, int)
        self.dw = nn.Conv2d(
            inputs, inputs, kernel, stride, around, dilation, groups=inputs, bias=False
        )
        self.pw = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        return self.act(self.bn(self.pw(self.dw(x))))


class CoordConv(nn.Module):
    """A convolution that also sees each cell's row and column (Liu et al., NeurIPS 2018).

    Both run from -1 to 1 over the map and follow its channels.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = Conv(inputs + 2, outputs, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        rows, columns = (
            torch.linspace(-1, 1, size, dtype=x.dtype, device=x.device) for size in x.shape[2:]
        )
        places = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))
        return self.conv(torch.cat((x, places.expand(len(x), -1, -1, -1)), dim=1))


class Involution(nn.Module):
    """Kernels that differ between cells and are shared by channels (Li et al., CVPR 2021).

    A 1x1 convolution with norm to a quarter of the channels, and a plain one, predict for each cell
    a kernel x kernel window of weights for each group of 16 channels (fewer, where 16 does not
    divide them). With a stride they see means of the map.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 7, stride: int = 1) -> None:
        super().__init__()
        if inputs != outputs:
            raise ValueError(f"keeps the channels, but gets {inputs} and should give {outputs}")
        self.kernel, self.stride = kernel, stride
        self.groups = inputs // math.gcd(inputs, 16)
        self.conv1 = Conv(inputs, inputs // 4, act=nn.ReLU())
        self.conv2 = nn.Conv2d(inputs // 4, kernel**2 * self.groups, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H/s, W/s]; with a stride it divides H and W."""
        seen = x if self.stride == 1 else F.avg_pool2d(x, self.stride)
        weights = self.conv2(self.conv1(seen))
        height, width = weights.shape[2:]
        weights = weights.view(len(x), self.groups, 1, self.kernel**2, -1)
        windows = F.unfold(x, self.kernel, padding=self.kernel // 2, stride=self.stride)
        windows = windows.view(len(x), self.groups, -1, self.kernel**2, height * width)
        return (weights * windows).sum(3).view(len(x), -1, height, width)
