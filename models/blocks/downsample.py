"""Blocks that halve the map: SPDConv, YOLOv7's transition, ADown, CGNet's block, LAE.

As in models/common.py, inputs and outputs are channels.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv


class SpaceToDepth(nn.Module):
    """Turns each 2x2 patch into four times the channels: `space_to_depth`, `SPD`, `ReOrg`.

    Sunkara and Luo, ECML PKDD 2022, section 3.1; the same as the stem of YOLOv5 before v6, without
    its convolution. `dimension` is that of the channels, 1.
    """

    def __init__(self, inputs: int, dimension: int = 1) -> None:
        super().__init__()
        if dimension != 1:
            raise ValueError(f"joins channels, which is dimension 1, not {dimension}; write [1]")
        self.out_channels = 4 * inputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 4 C, H/2, W/2]."""
        # Trained weights expect the corners in this order: rows alternate fastest.
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return torch.cat(corners, dim=1)


class SPDConv(nn.Module):
    """Space to depth, then a 3x3 convolution of stride 1 (Sunkara and Luo, ECML PKDD 2022)."""

    def __init__(self, inputs: int, outputs: int, dimension: int = 1) -> None:
        super().__init__()
        self.spread = SpaceToDepth(inputs, dimension)
        self.conv = Conv(self.spread.out_channels, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2, W/2]."""
        return self.conv(self.spread(x))


class MP(nn.MaxPool2d):
    """YOLOv7's max pool, whose stride is the side of its window."""

    def __init__(self, kernel: int = 2) -> None:
        super().__init__(kernel, kernel)


class V7DownSampling(nn.Module):
    """YOLOv7's transition (Wang et al., CVPR 2023): half of the channels from each of two branches.

    One is a max pool and a 1x1 convolution, the other a 1x1 and a 3x3 convolution of stride 2.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.maxpool = nn.Sequential(nn.MaxPool2d(2, 2), Conv(inputs, half))
        self.conv = nn.Sequential(Conv(inputs, half), Conv(half, half, 3, 2))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2, W/2] of an even map; outputs are even."""
        return torch.cat((self.maxpool(x), self.conv(x)), dim=1)


class ADown(nn.Module):
    """YOLOv9's downsampling (Wang et al., ECCV 2024).

    After a 2x2 mean of stride 1, half of the channels pass a 3x3 convolution of stride 2, and half
    a 3x3 max pool of stride 2 and a 1x1 convolution.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.cv1 = Conv(inputs // 2, outputs // 2, 3, 2, 1)
        self.cv2 = Conv(inputs // 2, outputs // 2)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2, W/2]; both counts are even."""
        first, second = F.avg_pool2d(x, 2, 1).chunk(2, dim=1)
        pooled = F.max_pool2d(second, 3, 2, 1)
        return torch.cat((self.cv1(first), self.cv2(pooled)), dim=1)


class ContextGuidedDown(nn.Module):
    """`ContextGuidedBlock_Down` (Wu et al., CGNet, IEEE Transactions on Image Processing 2021).

    After a 3x3 convolution of stride 2, a depth-wise convolution of each cell's neighbours and a
    dilated one of its surroundings are joined and normed, with PReLU; a 1x1 convolution halves
    their channels, which a gate from the means of the map then weighs (section III-A).

    Args:
        inputs: channels.
        outputs: channels.
        dilation: of the second depth-wise convolution.
        reduction: how many times fewer hidden channels the gate has than outputs.
    """

    def __init__(self, inputs: int, outputs: int, dilation: int = 2, reduction: int = 16) -> None:
        super().__init__()
        deep = partial(nn.Conv2d, outputs, outputs, 3, groups=outputs, bias=False)
        hidden = max(outputs // reduction, 1)
        self.conv1x1 = Conv(inputs, outputs, 3, 2)
        self.F_loc, self.F_sur = deep(padding=1), deep(padding=dilation, dilation=dilation)
        self.bn, self.act = nn.BatchNorm2d(2 * outputs, eps=1e-3), nn.PReLU(2 * outputs)
        self.reduce = Conv(2 * outputs, outputs)
        self.F_glo = nn.Sequential(
            nn.Linear(outputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2, W/2], rounded up."""
        x = self.conv1x1(x)
        both = torch.cat((self.F_loc(x), self.F_sur(x)), dim=1)
        x = self.reduce(self.act(self.bn(both)))
        return x * self.F_glo(x.mean((2, 3)))[:, :, None, None]


class LAE(nn.Module):
    """Lightweight adaptive extraction (Yu et al., LSM-YOLO, arXiv 2408.14087).

    A grouped 3x3 convolution of stride 2 gives four maps, whose mean with weights by a softmax
    remains. The four logits of a cell are those of a 1x1 convolution of 3x3 means, taken from the
    same place of each quarter of the map. Channels are kept; rows may state them.

    Args:
        inputs: channels.
        outputs: the same number, or 0.
        group: channels of a group of the convolution.
    """

    def __init__(self, inputs: int, outputs: int = 0, group: int = 16) -> None:
        super().__init__()
        if outputs not in (0, inputs):
            raise ValueError(f"keeps the channels, but gets {inputs} and should give {outputs}")
        self.attention = nn.Sequential(nn.AvgPool2d(3, 1, 1), Conv(inputs, inputs))
        self.ds_conv = Conv(inputs, 4 * inputs, 3, 2, groups=max(inputs // group, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H/2, W/2], rounded up; the last cells repeat in an odd map."""
        logits = F.pad(self.attention(x), (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")
        quarters = [part for half in logits.chunk(2, 2) for part in half.chunk(2, 3)]
        shares = torch.stack(quarters, dim=1).softmax(1)
        return (self.ds_conv(x).unflatten(1, (4, -1)) * shares).sum(1)
