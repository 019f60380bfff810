"""CGAFusion: two maps joined by weights of each channel and place.

Chen et al., DEA-Net, IEEE Transactions on Image Processing 2024, sections III-B and III-C.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.fuse import check_count, same_width


class _Weights(nn.Module):
    """Content-guided attention: the logits of a weight for each value of a map.

    A coarse guess for channels and one for places are summed. A 7x7 convolution with one group for
    each channel, which sees the map and the guess, refines them.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.sa = nn.Conv2d(2, 1, 7)
        self.ca = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
        )
        self.pa2 = nn.Conv2d(2 * channels, channels, 7, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        both = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), dim=1)
        places = self.sa(_bordered(both))
        coarse = places + self.ca(x.mean((2, 3), keepdim=True))
        return self.pa2(_bordered(torch.stack((x, coarse), dim=2).flatten(1, 2)))


def _bordered(x: Tensor) -> Tensor:
    """x with three cells mirrored on each side; a map too small for that repeats its edge."""
    mode = "reflect" if min(x.shape[2:]) > 3 else "replicate"
    return F.pad(x, (3, 3, 3, 3), mode)


class CGAFusion(nn.Module):
    """A 1x1 convolution of a + b + w a + (1 - w) b, with w of the map a + b (equations 5 to 7).

    Files in circulation write a channel count as argument, which is ignored.
    """

    equal_channels = True

    def __init__(self, channels: Sequence[int], *unused: object) -> None:
        super().__init__()
        check_count(channels, 2)
        self.out_channels = same_width(channels)
        self.weights = _Weights(self.out_channels, 8)
        self.conv = nn.Conv2d(self.out_channels, self.out_channels, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Two maps [B, C, H, W] -> [B, C, H, W]."""
        first, second = maps
        total = first + second
        share = self.weights(total).sigmoid()
        return self.conv(total + share * first + (1 - share) * second)
