"""vanillanetBlock: VanillaNet's block, convolutions of single cells and one activation.

Chen et al., "VanillaNet: the Power of Minimalism in Deep Learning", NeurIPS 2023,
https://arxiv.org/abs/2305.12972, section 3. Attribute names are parts of state-dict keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-6


class SeriesActivation(nn.Module):
    """ReLU, then for each channel a weighted sum over (2 count + 1)^2 cells, then a norm.

    Equation 6, in which several shifted activations are summed.
    """

    def __init__(self, channels: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.weight = nn.Parameter(torch.empty(channels, 1, 2 * count + 1, 2 * count + 1))
        nn.init.trunc_normal_(self.weight, std=0.02)
        self.bn = nn.BatchNorm2d(channels, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        y = F.conv2d(x.relu(), self.weight, padding=self.count, groups=len(self.weight))
        return self.bn(y)


class VanillaBlock(nn.Module):
    """Two 1x1 convolutions with norms, a max pool and the series activation.

    The authors fade out an activation between the convolutions while they train (equation 2). It is
    left out here, as at the end of their training.

    Args:
        inputs: channels.
        outputs: channels.
        act_num: cells on each side that the activation sums.
        stride: of the pool, 1 for none.
    """

    def __init__(self, inputs: int, outputs: int, act_num: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.conv1 = _conv_norm(inputs, inputs)
        self.conv2 = _conv_norm(inputs, outputs)
        self.pool = nn.MaxPool2d(stride) if stride > 1 else nn.Identity()
        self.act = SeriesActivation(outputs, act_num)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s], rounded down."""
        return self.act(self.pool(self.conv2(self.conv1(x))))


def _conv_norm(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs, eps=NORM_EPS))
