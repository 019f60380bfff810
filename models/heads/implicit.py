"""IDetect, the anchor head of YOLOR and YOLOv7: learned values before and after each convolution.

Wang et al., "You Only Learn One Representation", arXiv 2105.04206: implicit knowledge, which does
not depend on the image, is added to the features and multiplies the predictions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.heads.anchor_based import Detect

SPREAD = 0.02  # standard deviation of the first values


class Implicit(nn.Module):
    """One learned value for each channel, about `mean` at the start."""

    def __init__(self, channels: int, mean: float) -> None:
        super().__init__()
        self.implicit = nn.Parameter(torch.empty(1, channels, 1, 1).normal_(mean, SPREAD))


class ImplicitA(Implicit):
    """Adds its value to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.implicit


class ImplicitM(Implicit):
    """Multiplies each channel by its value."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x * self.implicit


class IDetect(Detect):
    """Detect with ImplicitA before the convolution of each level and ImplicitM behind it."""

    def __init__(self, class_count: int, anchors: int, channels: Sequence[int]) -> None:
        super().__init__(class_count, anchors, channels)
        self.ia = nn.ModuleList(ImplicitA(width) for width in channels)
        self.im = nn.ModuleList(ImplicitM(self.no * self.na) for _ in channels)

    def predict(self, level: int, x: Tensor) -> Tensor:
        """[B, C_i, ny, nx] -> [B, na * no, ny, nx]."""
        return self.im[level](self.m[level](self.ia[level](x)))
