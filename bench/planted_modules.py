"""Attention with a planted fault, and the same without it, for bench/planted_causes.py.

The file is given to train.py as a person's own --modules.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlantedEnergy(nn.Module):
    """A gate by energy, as SimAM's, whose lambda of 512 is far above every variance of a map."""

    def __init__(self, e_lambda: float = 512.0) -> None:
        super().__init__()
        self.e_lambda = e_lambda

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        squares = (x - x.mean((2, 3), keepdim=True)).square()
        energy = squares / (4 * (squares.mean((2, 3), keepdim=True) + self.e_lambda)) + 0.5
        return x * energy.sigmoid()


class PlantedContrast(nn.Module):
    """A gate by the contrast of a position to its row and column, divided by a lambda of 512."""

    def __init__(self, e_lambda: float = 512.0) -> None:
        super().__init__()
        self.e_lambda = e_lambda

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        contrast = 2 * x - x.mean(2, keepdim=True) - x.mean(3, keepdim=True)
        return x * (contrast / (x.std((2, 3), keepdim=True) + self.e_lambda)).sigmoid()


class PlantedChannels(nn.Module):
    """SE's gate of channels, whose last bias decides whether it starts open or closed."""

    def __init__(self, dim: int, bias: float = -9.0) -> None:
        super().__init__()
        hidden = max(dim // 4, 4)
        self.gate = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, dim, 1))
        last = self.gate[-1]
        nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x * self.weigh(x.mean((2, 3), keepdim=True))

    def weigh(self, pooled: Tensor) -> Tensor:
        """The factors [B, C, 1, 1] of the channels' means."""
        return self.gate(pooled).sigmoid()


class PlantedPositions(nn.Module):
    """CBAM's gate of positions, whose weights are so large that it starts at 0 or 1."""

    def __init__(self, gain: float = 300.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, padding=3)
        nn.init.normal_(self.conv.weight, std=gain)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        maps = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * self.conv(maps).sigmoid()


class PlantedDetached(PlantedChannels):
    """A gate of channels that is computed without gradients."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, 0.0)

    @torch.no_grad()
    def weigh(self, pooled: Tensor) -> Tensor:
        """The factors [B, C, 1, 1] of the channels' means."""
        return super().weigh(pooled)


class PlantedZeros(nn.Module):
    """A residual branch of two factors that both start at zero, so that neither gets a gradient."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.branch = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, bias=False)
        self.gain = nn.Parameter(torch.zeros(1, dim, 1, 1))
        nn.init.zeros_(self.branch.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.gain * self.branch(x)
