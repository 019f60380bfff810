"""The neck of Gold-YOLO, which gathers all levels, fuses them and distributes the result.

Wang et al., "Gold-YOLO: Efficient Object Detector via Gather-and-Distribute Mechanism", NeurIPS
2023, https://arxiv.org/abs/2309.11331, sections 4.2 to 4.4. Rows that read several maps have
classes that take the list of their inputs' channels first, and `out_channels` says what they give.
Channel counts in the rows of these blocks are not scaled by the width of the graph, but that of
SimFusion_3in is, as in the programs that have the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.fuse import check_count
from models.blocks.reparam import RepVGGBlock
from models.common import Conv


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """x at the size of another map: adaptive means of larger maps, else bilinear."""
    size = (like.shape[2], like.shape[3])
    if x.shape[2] > size[0] or x.shape[3] > size[1]:
        return F.adaptive_avg_pool2d(x, size)
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear")


class SimFusion4(nn.Module):
    """`SimFusion_4in`, the low stage's alignment: four maps, the finest first, at the third's size.

    Section 4.2, "Low-stage feature alignment module".
    """

    joins_sizes = True

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        check_count(channels, 4)
        self.out_channels = sum(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, sum of C_i, H_2, W_2]."""
        return torch.cat([_resized(x, maps[2]) for x in maps], dim=1)


class SimFusion3(nn.Module):
    """`SimFusion_3in`, the lightweight fusion of adjacent layers: three maps at the second's size.

    Section 4.4. Maps of other than `outputs` channels pass a 1x1 convolution before the one that
    joins them. All have ReLU.
    """

    joins_sizes = True

    def __init__(self, channels: Sequence[int], outputs: int) -> None:
        super().__init__()
        check_count(channels, 3)
        conv = partial(Conv, act=nn.ReLU())
        self.cv1, self.cv2, self.cv3 = (
            nn.Identity() if count == outputs else conv(count, outputs) for count in channels
        )
        self.cv_fuse = conv(3 * outputs, outputs)
        self.out_channels = outputs

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, outputs, H_1, W_1]."""
        convs = (self.cv1, self.cv2, self.cv3)
        aligned = [conv(_resized(x, maps[1])) for conv, x in zip(convs, maps, strict=True)]
        return self.cv_fuse(torch.cat(aligned, dim=1))


class IFM(nn.Module):
    """The low stage's information fusion: RepVGG blocks between two 1x1 convolutions.

    Section 4.2. The output holds the maps that InjectionMultiSum_Auto_pool splits.

    Args:
        inputs: channels.
        shares: channels of the map for each level, such as [64, 32].
        hidden: channels of the blocks.
        blocks: how many there are.
    """

    def __init__(
        self, inputs: int, shares: Sequence[int], hidden: int = 96, blocks: int = 3
    ) -> None:
        super().__init__()
        self.out_channels = sum(shares)
        deep = (RepVGGBlock(hidden, hidden) for _ in range(blocks))
        self.conv = nn.Sequential(Conv(inputs, hidden), *deep, Conv(hidden, self.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, sum of the shares, H, W]."""
        return self.conv(x)


class InjectionMultiSum(nn.Module):
    """`InjectionMultiSum_Auto_pool`: a level's own map, gated by the global one, plus it.

    Section 4.2, equations 4 to 6: with the global map g resized to the local map x,

        y = conv(x) * resize(sigmoid(conv(g))) + resize(conv(g))

    The sigmoid is hard. All convolutions are 1x1 with a norm.

    Args:
        channels: of the local and the global map.
        outputs: channels.
        shares: channels of the parts of the global map.
        flag: number of the part for this level.
    """

    joins_sizes = True

    def __init__(
        self, channels: Sequence[int], outputs: int, shares: Sequence[int], flag: int
    ) -> None:
        super().__init__()
        check_count(channels, 2)
        if sum(shares) != channels[1] or not 0 <= flag < len(shares):
            raise ValueError(
                f"{list(shares)}, {flag}: the parts must sum up to the {channels[1]} channels of"
                " the second map, and the last argument is the number of one of them, from 0"
            )
        self.out_channels, self.shares, self.flag = outputs, list(shares), flag
        conv = partial(Conv, act=False)
        self.local_embedding = conv(channels[0], outputs)
        self.global_embedding = conv(shares[flag], outputs)
        self.global_act = conv(shares[flag], outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_0, H, W] and [B, C_1, H', W'] -> [B, outputs, H, W]."""
        local, joint = maps
        part = joint.split(self.shares, dim=1)[self.flag]
        gate = _resized(F.hardsigmoid(self.global_act(part)), local)
        return self.local_embedding(local) * gate + _resized(self.global_embedding(part), local)


class PyramidPoolAgg(nn.Module):
    """The high stage's alignment: maps joined at the last one's size over `stride`.

    Section 4.3, "High-stage feature alignment module". A 1x1 convolution gives `outputs` channels.
    """

    joins_sizes = True

    def __init__(self, channels: Sequence[int], outputs: int, stride: int = 2) -> None:
        super().__init__()
        self.stride, self.out_channels = stride, outputs
        self.conv = Conv(sum(channels), outputs)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, outputs, H/s, W/s] of the last one, rounded up."""
        height, width = (-(-side // self.stride) for side in maps[-1].shape[2:])
        pooled = [F.adaptive_avg_pool2d(x, (height, width)) for x in maps]
        return self.conv(torch.cat(pooled, dim=1))


class AdvPoolFusion(nn.Module):
    """Two maps joined at the size of the second, to which the first, finer one is pooled."""

    joins_sizes = True

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        check_count(channels, 2)
        self.out_channels = sum(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i] -> [B, C_0 + C_1, H_1, W_1]."""
        return torch.cat((_resized(maps[0], maps[1]), maps[1]), dim=1)
