"""ASFF heads: each level first mixes the maps of all levels, by weights that every pixel chooses.

Liu, Huang and Wang, "Learning Spatial Fusion for Single-Shot Object Detection", 2019,
https://arxiv.org/abs/1911.09516, equations 1 and 2. With the maps of all levels brought to level l,

    y_l = sum over i of a_i x_(i -> l),  a = softmax over i of the logits at that pixel

A coarser map gets the channels by a 1x1 convolution and the size by repetition; a finer one gets
both by a 3x3 convolution of stride 2, after a max pool of stride 2 where it is two levels finer.
Public files call the head ASFF_Detect, Detect_ASFF and so on, and have three levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv
from models.heads.anchor_based import Detect
from models.heads.anchor_free import DetectV8

LOGIT_CHANNELS = 16  # per level, before the logits
LEVELS = 3


class LevelFusion(nn.Module):
    """The map of one level, mixed with those of the others.

    Args:
        level: 0 for the coarsest, as in the names of weights.
        channels: of the maps of all levels, coarsest first.
    """

    def __init__(self, level: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.level, width = level, channels[level]
        for other, inputs in enumerate(channels):
            if other < level:
                self.add_module(f"compress_level_{other}", Conv(inputs, width))
            elif other > level:
                self.add_module(f"stride_level_{other}", Conv(inputs, width, 3, 2))
            self.add_module(f"weight_level_{other}", Conv(width, LOGIT_CHANNELS))
        self.weight_levels = nn.Conv2d(LOGIT_CHANNELS * len(channels), len(channels), 1)
        self.expand = Conv(width, width, 3)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Maps [B, C_i, H_i, W_i], coarsest first -> [B, C_level, H_level, W_level]."""
        size = (maps[self.level].shape[2], maps[self.level].shape[3])
        here = [self._brought(other, x, size) for other, x in enumerate(maps)]
        logits = [self.get_submodule(f"weight_level_{i}")(x) for i, x in enumerate(here)]
        shares = self.weight_levels(torch.cat(logits, 1)).softmax(1)  # [B, levels, H, W]
        mixed = here[0] * shares[:, :1]
        for number, x in enumerate(here[1:], 1):
            mixed = mixed + x * shares[:, number : number + 1]
        return self.expand(mixed)

    def _brought(self, other: int, x: Tensor, size: tuple[int, int]) -> Tensor:
        """The map of another level at this level's size and channels."""
        if other < self.level:
            x = self.get_submodule(f"compress_level_{other}")(x)
            return F.interpolate(x, size=size, mode="nearest")
        for _ in range(self.level + 1, other):
            x = F.max_pool2d(x, 3, 2, 1)
        return x if other == self.level else self.get_submodule(f"stride_level_{other}")(x)


def _fusions(channels: Sequence[int]) -> list[LevelFusion]:
    """One for each level. Raises ValueError for other than three levels."""
    if len(channels) != LEVELS:
        raise ValueError(f"mixes {LEVELS} levels, but gets {len(channels)} maps")
    return [LevelFusion(level, list(channels)[::-1]) for level in range(LEVELS)]


def _fused(head: nn.Module, maps: list[Tensor]) -> list[Tensor]:
    """The mixed maps in the order of the head, finest first."""
    coarse_first = maps[::-1]
    fused = [head.get_submodule(f"l{level}_fusion")(coarse_first) for level in range(LEVELS)]
    return fused[::-1]


class ASFFDetect(Detect):
    """The anchor head on mixed maps."""

    def __init__(self, class_count: int, anchors: int, channels: Sequence[int]) -> None:
        super().__init__(class_count, anchors, channels)
        for fusion in _fusions(channels):
            self.add_module(f"l{fusion.level}_fusion", fusion)

    def forward(self, maps: list[Tensor]) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Feature maps [B, C_i, ny, nx], finest first, to what Detect gives."""
        return super().forward(_fused(self, maps))


class ASFFDetectV8(DetectV8):
    """The anchor-free head on mixed maps."""

    def __init__(
        self, class_count: int, reg_max: int, channels: Sequence[int], *options: Any
    ) -> None:
        super().__init__(class_count, reg_max, channels, *options)
        for fusion in _fusions(channels):
            self.add_module(f"l{fusion.level}_fusion", fusion)

    def forward(self, maps: list[Tensor]) -> Any:
        """Feature maps [B, C_i, ny, nx], finest first, to what DetectV8 gives."""
        return super().forward(_fused(self, maps))
