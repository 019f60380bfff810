"""Pooling and dilation at several sides at once: SPPCSPC and its kind, SPPELAN, ASPP, BasicRFB.

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H, W].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv


class SPPCSPC(nn.Module):
    """Spatial pyramid pooling in a cross-stage block (Wang et al., YOLOv7, CVPR 2023).

    One half passes three convolutions, max pools of several sides beside each other, and two more
    convolutions; the other half one.

    Args:
        inputs: channels.
        outputs: channels.
        repeats: has no effect; it and the next stand in the order of a row's arguments.
        shortcut: has no effect.
        groups: of all convolutions.
        expansion: hidden channels as a share of twice the outputs.
        kernel: sides of the pools, odd.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = False,
        groups: int = 1,
        expansion: float = 0.5,
        kernel: tuple[int, ...] = (5, 9, 13),
    ) -> None:
        super().__init__()
        hidden = int(2 * outputs * expansion)
        conv = partial(Conv, groups=groups)
        self.cv1 = conv(inputs, hidden)
        self.cv2: nn.Module = conv(inputs, hidden)
        self.cv3, self.cv4 = conv(hidden, hidden, 3), conv(hidden, hidden)
        self.m = nn.ModuleList(nn.MaxPool2d(side, 1, side // 2) for side in kernel)
        self.cv5 = conv((1 + len(kernel)) * hidden, hidden)
        self.cv6 = conv(hidden, hidden, 3)
        self.cv7 = conv(2 * hidden, outputs)
        self.hidden = hidden

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.cv7(self.halves(x))

    def halves(self, x: Tensor) -> Tensor:
        """Both halves: [B, inputs, H, W] -> [B, 2 hidden, H, W]."""
        deep = self.cv4(self.cv3(self.cv1(x)))
        deep = self.cv6(self.cv5(torch.cat(self.pooled(deep), dim=1)))
        return torch.cat((deep, self.cv2(x)), dim=1)

    def pooled(self, x: Tensor) -> list[Tensor]:
        """The map and its pools, each [B, hidden, H, W]."""
        return [x, *(pool(x) for pool in self.m)]


class SPPFCSPC(SPPCSPC):
    """SPPCSPC with pools of one side one after another; a side of 5 gives what 5, 9 and 13 do.

    Arguments are those of SPPCSPC with one side of the pool instead of several.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = False,
        groups: int = 1,
        expansion: float = 0.5,
        kernel: int = 5,
    ) -> None:
        super().__init__(inputs, outputs, repeats, shortcut, groups, expansion, (kernel,) * 3)

    def pooled(self, x: Tensor) -> list[Tensor]:
        levels = [x]
        for pool in self.m:
            levels.append(pool(levels[-1]))
        return levels


class GroupedSPPCSPC(SPPCSPC):
    """`SPPCSPC_group`: all convolutions have four groups."""

    def __init__(self, inputs: int, outputs: int, repeats: int = 1) -> None:
        super().__init__(inputs, outputs, repeats, groups=4)


class SPPCSP(SPPCSPC):
    """The older SPPCSPC of Scaled-YOLOv4 (Wang et al., CVPR 2021), with one norm over both halves.

    The half that is not pooled has a plain convolution, and Mish follows the norm.
    """

    def __init__(self, inputs: int, outputs: int, *options: Any) -> None:
        super().__init__(inputs, outputs, *options)
        self.cv2 = nn.Conv2d(inputs, self.hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(2 * self.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.cv7(F.mish(self.bn(self.halves(x))))


class SPPELAN(nn.Module):
    """YOLOv9's pooling (Wang et al., ECCV 2024): one pool of side `kernel`, applied three times.

    Rows write [c2, c3]; c3, the hidden channels, is not scaled by the width of the graph.
    """

    def __init__(self, inputs: int, outputs: int, c3: int, kernel: int = 5) -> None:
        super().__init__()
        self.cv1 = Conv(inputs, c3)
        self.cv2, self.cv3, self.cv4 = (nn.MaxPool2d(kernel, 1, kernel // 2) for _ in range(3))
        self.cv5 = Conv(4 * c3, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        levels = [self.cv1(x)]
        for pool in (self.cv2, self.cv3, self.cv4):
            levels.append(pool(levels[-1]))
        return self.cv5(torch.cat(levels, dim=1))


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., DeepLab v3, arXiv 1706.05587, section 3.3).

    The mean of the map, a 1x1 convolution and 3x3 ones of dilation 6, 12 and 18 stand beside each
    other, all plain, without norm and activation; a 1x1 convolution joins them.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)
        self.atrous_block1 = nn.Conv2d(inputs, outputs, 1)
        for rate in (6, 12, 18):
            conv = nn.Conv2d(inputs, outputs, 3, padding=rate, dilation=rate)
            self.add_module(f"atrous_block{rate}", conv)
        self.conv_1x1_output = nn.Conv2d(5 * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        mean = self.conv(x.mean((2, 3), keepdim=True)).expand(-1, -1, *x.shape[2:])
        blocks = (self.get_submodule(f"atrous_block{rate}") for rate in (1, 6, 12, 18))
        return self.conv_1x1_output(torch.cat((mean, *(block(x) for block in blocks)), dim=1))


class BasicRFB(nn.Module):
    """Receptive field block (Liu et al., RFBNet, ECCV 2018), as its light versions have it.

    Three branches end in 3x3 convolutions of dilation 2, 3 and 5, for the default `vision`. A 1x1
    convolution joins them; `scale` times its output and a 1x1 convolution of the input are summed.

    Args:
        inputs: channels.
        outputs: channels.
        stride: of all paths.
        scale: weight of the branches.
        map_reduce: how many times fewer than the inputs a branch has channels.
        vision: dilation of the first branch, less one.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        scale: float = 0.1,
        map_reduce: int = 8,
        vision: int = 1,
    ) -> None:
        super().__init__()
        thin = inputs // map_reduce
        middle, wide = thin // 2 * 3, 2 * thin
        self.scale = scale
        self.branch0 = _branch(inputs, [thin, wide], stride, vision + 1)
        self.branch1 = _branch(inputs, [thin, wide], stride, vision + 2)
        self.branch2 = _branch(inputs, [thin, middle, wide], stride, vision + 4)
        self.conv_linear = Conv(3 * wide, outputs, act=False)
        self.shortcut = Conv(inputs, outputs, 1, stride, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        branches = torch.cat((self.branch0(x), self.branch1(x), self.branch2(x)), dim=1)
        return F.relu(self.scale * self.conv_linear(branches) + self.shortcut(x))


def _branch(inputs: int, widths: Sequence[int], stride: int, dilation: int) -> nn.Sequential:
    """A 1x1 convolution, 3x3 ones with ReLU of which the last has the stride, a dilated one."""
    steps = [
        Conv(before, after, 3, stride if after == widths[-1] else 1, act=nn.ReLU())
        for before, after in pairwise(widths)
    ]
    last = Conv(widths[-1], widths[-1], 3, dilation=dilation, act=False)
    return nn.Sequential(Conv(inputs, widths[0], act=False), *steps, last)
