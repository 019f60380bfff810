"""Blocks of large depth-wise kernels: HorNet's recursive gated convolution, ConvNeXt's block.

Rao et al., HorNet, NeurIPS 2022; Liu et al., ConvNeXt, CVPR 2022. Attribute names are parts of
state-dict keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import C3

SMALL_GATE = 1e-6  # what the learned factors of the branches start with


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each cell."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GnConv(nn.Module):
    """`gnconv`: gated convolution of `order` steps (HorNet, equations 3 and 4).

    Each step multiplies twice as many channels as the one before by their share of a 7x7 depth-wise
    convolution. There are fewer steps where the channels cannot be halved so often.
    """

    def __init__(self, inputs: int, order: int = 5) -> None:
        super().__init__()
        steps = [step for step in range(order) if inputs % 2**step == 0]
        self.dims = [inputs >> step for step in reversed(steps)]
        self.proj_in = nn.Conv2d(inputs, 2 * inputs, 1)
        gates = sum(self.dims)
        self.dwconv = nn.Conv2d(gates, gates, 7, padding=3, groups=gates)
        self.proj_out = nn.Conv2d(inputs, inputs, 1)
        self.pws = nn.ModuleList(nn.Conv2d(count, 2 * count, 1) for count in self.dims[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        first, rest = self.proj_in(x).split((self.dims[0], sum(self.dims)), dim=1)
        start, *gates = self.dwconv(rest).split(self.dims, dim=1)
        y = first * start
        for widen, gate in zip(self.pws, gates, strict=True):
            y = widen(y) * gate
        return self.proj_out(y)


def _check_same(inputs: int, outputs: int) -> None:
    if inputs != outputs:
        raise ValueError(f"keeps the channels, but gets {inputs} and should give {outputs}")


class HorBlock(nn.Module):
    """Gated convolution, then a perceptron of each cell, each behind a norm and with a residual.

    Both branches have a learned factor for each channel. A row may state the channels, which must
    be those of its input.
    """

    def __init__(self, inputs: int, outputs: int = 0) -> None:
        super().__init__()
        _check_same(inputs, outputs or inputs)
        self.norm1, self.gnconv = ChannelNorm(inputs), GnConv(inputs)
        self.norm2 = nn.LayerNorm(inputs, eps=1e-6)
        self.pwconv1 = nn.Linear(inputs, 4 * inputs)
        self.pwconv2 = nn.Linear(4 * inputs, inputs)
        self.gamma1 = nn.Parameter(torch.full((inputs,), SMALL_GATE))
        self.gamma2 = nn.Parameter(torch.full((inputs,), SMALL_GATE))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        x = x + self.gamma1.view(-1, 1, 1) * self.gnconv(self.norm1(x))
        cells = self.norm2(x.permute(0, 2, 3, 1))
        cells = self.gamma2 * self.pwconv2(F.gelu(self.pwconv1(cells)))
        return x + cells.permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    """A 7x7 depth-wise convolution, a norm and a perceptron of each cell, with a residual."""

    def __init__(self, inputs: int, outputs: int = 0) -> None:
        super().__init__()
        _check_same(inputs, outputs or inputs)
        self.dwconv = nn.Conv2d(inputs, inputs, 7, padding=3, groups=inputs)
        self.norm = nn.LayerNorm(inputs, eps=1e-6)
        self.pwconv1 = nn.Linear(inputs, 4 * inputs)
        self.pwconv2 = nn.Linear(4 * inputs, inputs)
        self.gamma = nn.Parameter(torch.full((inputs,), SMALL_GATE))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        cells = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        cells = self.gamma * self.pwconv2(F.gelu(self.pwconv1(cells)))
        return x + cells.permute(0, 3, 1, 2)


class C3HB(C3):
    """C3 of HorBlocks."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(HorBlock(hidden) for _ in range(repeats)))


class CNeB(C3):
    """C3 of ConvNextBlocks."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(ConvNextBlock(hidden) for _ in range(repeats)))
