"""Weighted fusion of maps: BiFPN_Concat, BiFPN_Add and their relatives.

Tan et al., EfficientDet, CVPR 2020, section 3.3, fast normalized fusion: map i has the learned
weight w_i / (sum of w + 1e-4) with w kept above 0 by ReLU. As in models/blocks/fuse.py, the first
argument is the list of the inputs' channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.fuse import same_width
from models.common import Conv

EPSILON = 1e-4


def weighted(maps: Sequence[Tensor], w: Tensor) -> list[Tensor]:
    """The maps, each times its normalized weight; w [number of maps]."""
    positive = F.relu(w)
    weights = positive / (positive.sum() + EPSILON)
    return [x * weight for x, weight in zip(maps, weights.to(maps[0].dtype), strict=True)]


class BiFPNConcat(nn.Module):
    """The weighted maps, concatenated. `dimension` is that of the channels, 1."""

    def __init__(self, channels: Sequence[int], dimension: int = 1) -> None:
        super().__init__()
        if dimension != 1:
            raise ValueError(f"joins channels, which is dimension 1, not {dimension}; write [1]")
        self.w = nn.Parameter(torch.ones(len(channels)))
        self.out_channels = sum(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of [B, C_i, H, W] -> [B, sum of C_i, H, W]."""
        return torch.cat(weighted(maps, self.w), dim=1)


class BiFPNAdd(nn.Module):
    """A 1x1 convolution of the SiLU of the weighted sum: the activation stands before it.

    Rows write `[c1, c2]`, the channels that the map has in the graph that the file was made for, so
    neither is scaled: the output has c2 / c1 times the channels of the inputs.
    """

    equal_channels = True

    def __init__(self, channels: Sequence[int], c1: int | None = None, c2: int = 0) -> None:
        super().__init__()
        inputs = same_width(channels)
        self.out_channels = scaled_like(inputs, c1 or inputs, c2 or c1 or inputs)
        self.w = nn.Parameter(torch.ones(len(channels)))
        self.conv = self.make_conv(inputs, self.out_channels)

    def make_conv(self, inputs: int, outputs: int) -> nn.Module:
        """The convolution of [B, inputs, H, W] to [B, outputs, H, W]."""
        return nn.Conv2d(inputs, outputs, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of [B, C, H, W] -> [B, C c2 / c1, H, W]."""
        return self.conv(self.activate(reduce(torch.add, weighted(maps, self.w))))

    def activate(self, x: Tensor) -> Tensor:
        """SiLU of the weighted sum, [B, C, H, W]."""
        return F.silu(x)


def scaled_like(inputs: int, c1: int, c2: int) -> int:
    """inputs * c2 / c1. Raises ValueError if that is no whole number above 0."""
    outputs, rest = divmod(inputs * c2, c1)
    if rest or outputs < 1:
        raise ValueError(f"gets {inputs} channels, which [{c1}, {c2}] does not scale to a number")
    return outputs


class WeightedSum(BiFPNAdd):
    """`Concat_bifpn` with two channel counts: ReLU of the weighted sum, then Conv with its norm."""

    def make_conv(self, inputs: int, outputs: int) -> nn.Module:
        return Conv(inputs, outputs)

    def activate(self, x: Tensor) -> Tensor:
        return F.relu(x)


class BiFPNSum(nn.Module):
    """`Bi_FPN`: the sum of w_i / (sum of SiLU(w) + 1e-4) times map i, without a convolution.

    Arguments of the row, which state numbers of maps or channels, are ignored.
    """

    equal_channels = True

    def __init__(self, channels: Sequence[int], *unused: object) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(len(channels)))
        self.out_channels = same_width(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of [B, C, H, W] -> [B, C, H, W]."""
        weights = self.weight / (F.silu(self.weight).sum() + EPSILON)
        shares = weights.to(maps[0].dtype)
        return reduce(torch.add, (x * share for x, share in zip(maps, shares, strict=True)))
