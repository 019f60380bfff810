"""IDetect, YOLOv7's anchor head: learned constants before and after each level's convolution.

Wang, Yeh and Liao, "You Only Learn One Representation: Unified Network for Multiple Tasks", 2021,
https://arxiv.org/abs/2105.04206, section 4: implicit knowledge z is added to the features and
multiplied with the prediction. Both are the same for all images and positions, so that they fold
into the convolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.heads.anchor_based import Detect


class Implicit(nn.Module):
    """A learned number for each channel; it starts near `mean`."""

    def __init__(self, channels: int, mean: float) -> None:
        super().__init__()
        self.implicit = nn.Parameter(torch.empty(1, channels, 1, 1))
        nn.init.normal_(self.implicit, mean=mean, std=0.02)


class IDetect(Detect):
    """The anchor head with an addition before, and a factor after, each convolution."""

    def __init__(self, class_count: int, anchors: int, channels: Sequence[int]) -> None:
        super().__init__(class_count, anchors, channels)
        self.ia = nn.ModuleList(Implicit(width, 0.0) for width in channels)
        self.im = nn.ModuleList(Implicit(self.no * self.na, 1.0) for _ in channels)

    def predict(self, level: int, x: Tensor) -> Tensor:
        """(conv(x + a)) * m of a level: [B, C, H, W] -> [B, na * no, H, W]."""
        added, factor = (part[level].get_parameter("implicit") for part in (self.ia, self.im))
        return super().predict(level, x + added.to(x.dtype)) * factor.to(x.dtype)
