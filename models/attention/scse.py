"""scSE: a gate for every channel and a gate for every position, each applied to x, then combined.

Roy, Navab and Wachinger, "Concurrent Spatial and Channel Squeeze & Excitation in Fully
Convolutional Networks", MICCAI 2018, https://arxiv.org/abs/1803.02579. With z the mean of each
channel,

    c = sigmoid(W2 relu(W1 z + b1) + b2)    [B, C, 1, 1]
    s = sigmoid(conv1x1(x))                 [B, 1, H, W]
    out = max(x c, x s), or x c + x s

[B, C, H, W] keeps its shape.

Choices: the maximum with reduction 2 is that of the authors' code and the default here; libraries
for segmentation have the sum with reduction 16: `fuse="add"`. The maximum is that of the products,
so that a negative value gets the smaller gate. Where both are equal, each gets half of the
gradient. There is one hidden channel at least.

Cost, with h = C // reduction: 2 C h + h + C parameters for c and C + 1 for s, 66,177 at 256
channels. In eager mode on a CPU x alone is kept for backward (fast/scse.py).
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.36 (-5.79 to +6.52), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_reduction
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.gates import pool, scale
from models.attention.fast.scse import larger_product


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> gate [B, C, 1, 1]."""
        return self.fc2(self.fc1(pool(x).flatten(1)).relu()).sigmoid()[:, :, None, None]


class _PositionGate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> gate [B, 1, H, W]."""
        return self.conv(x).sigmoid()


@register("SCSE", "ScSE", "SCSEModule", "scSEAttention", "ChannelSpatialSELayer")
class scSE(nn.Module):
    """Combines x scaled by channel and x scaled by position.

    Args:
        channels: C, of the map.
        reduction: the channel gate has max(1, C // reduction) hidden channels.
        fuse: "max" or "add".

    Raises:
        ValueError: reduction is not a whole number from 1 up to the channels (or 16), or fuse has
            another value.
    """

    tutorial_order = ("reduction", "fuse")
    usual_values = (8, 16, 32)

    def __init__(self, channels: int, *, reduction: int = 2, fuse: str = "max") -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 16)
        if fuse not in ("max", "add"):
            raise ValueError(f"fuse={fuse!r}: must be max or add")
        self.fuse = fuse
        self.cSE = _ChannelGate(channels, max(channels // reduction, 1))
        self.sSE = _PositionGate(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        channel, position = self.cSE(x), self.sSE(x)  # [B, C, 1, 1] and [B, 1, H, W]
        if self.fuse == "add":
            # Not x * (channel + position): that sum is a map, which backward would keep.
            return scale(x, channel) + scale(x, position)
        channel, position = channel.to(x.dtype), position.to(x.dtype)
        if use_fast(x):
            return larger_product(x, channel, position)
        return torch.maximum(x * channel, x * position)

    def extra_repr(self) -> str:
        return f"fuse={self.fuse}"
