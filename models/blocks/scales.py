"""Rows that join maps of several sizes or in several ways: SDI, Fusion.

Each class takes the list of its inputs' channels first, and `out_channels` says what it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.bifpn import weighted
from models.blocks.fuse import same_width
from models.common import Conv


class SDI(nn.Module):
    """Semantics and detail infusion (Peng et al., U-Net v2, arXiv 2311.17791, section 2.2).

    All maps are brought to the size of the first, by adaptive means or bilinearly, and through a
    3x3 convolution each to its channels; the output is their product.
    """

    joins_sizes = True

    def __init__(self, channels: Sequence[int], *unused: object) -> None:
        super().__init__()
        self.out_channels = channels[0]
        self.convs = nn.ModuleList(nn.Conv2d(count, channels[0], 3, 1, 1) for count in channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, C_0, H_0, W_0]."""
        size = (maps[0].shape[2], maps[0].shape[3])
        resized = (_resize(x, size) for x in maps)
        infused = (conv(x) for conv, x in zip(self.convs, resized, strict=True))
        return reduce(torch.mul, infused)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """A map at another size: means where it shrinks, bilinear with aligned corners where not."""
    if x.shape[2] > size[0]:
        return F.adaptive_avg_pool2d(x, size)
    if x.shape[2] < size[0]:
        return F.interpolate(x, size, mode="bilinear", align_corners=True)
    return x


MODES = ("weight", "adaptive", "concat", "bifpn", "SDI")


class Fusion(nn.Module):
    """Joins maps in one of five ways, by its first argument.

    "bifpn", the default, is the sum with learned weights (models/blocks/bifpn.py), "weight" the sum
    of one convolution of each map, "adaptive" the mean of these with weights for each pixel by a
    softmax over a convolution of all, "concat" the concatenation, "SDI" the product as in SDI.
    """

    equal_channels = True

    def __init__(self, channels: Sequence[int], mode: str = "bifpn") -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode {mode!r}: must be one of {', '.join(MODES)}")
        self.mode = mode
        self.joins_sizes = mode == "SDI"
        self.out_channels = sum(channels) if mode == "concat" else channels[0]
        if mode == "SDI":
            self.SDI = SDI(channels)
        elif mode == "bifpn":
            same_width(channels)
            self.fusion_weight = nn.Parameter(torch.ones(len(channels)))
        elif mode != "concat":
            same_width(channels)
            self.fusion_conv = nn.ModuleList(Conv(count, count) for count in channels)
        if mode == "adaptive":
            self.fusion_adaptive = Conv(sum(channels), len(channels))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H, W] -> [B, out_channels, H, W]."""
        if self.mode == "SDI":
            return self.SDI(maps)
        if self.mode == "concat":
            return torch.cat(maps, dim=1)
        if self.mode == "bifpn":
            return reduce(torch.add, weighted(maps, self.fusion_weight))
        maps = [conv(x) for conv, x in zip(self.fusion_conv, maps, strict=True)]
        if self.mode == "adaptive":
            shares = self.fusion_adaptive(torch.cat(maps, dim=1)).softmax(1)
            maps = [x * share for x, share in zip(maps, shares.split(1, dim=1), strict=True)]
        return reduce(torch.add, maps)
