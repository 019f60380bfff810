"""Rows that join maps without a kernel: sum, product.

Each class takes the list of its inputs' channels first, and `out_channels` says what it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn


def same_width(channels: Sequence[int]) -> int:
    """The number of channels that all inputs have.

    Raises ValueError if they differ, or if there is only one input.
    """
    if len(set(channels)) > 1 or len(channels) < 2:
        found = ", ".join(map(str, channels))
        raise ValueError(f"needs two maps or more of equal channels, but gets {found}")
    return channels[0]


def check_count(channels: Sequence[int], wanted: int) -> None:
    """Raise ValueError unless there are as many inputs as wanted."""
    if len(channels) != wanted:
        raise ValueError(f"reads {wanted} maps, not {len(channels)}")


class Add(nn.Module):
    """The sum of maps of one shape.

    Files in circulation write a channel count or a dimension as arguments, neither of which
    changes the sum. They are ignored.
    """

    equal_channels = True

    def __init__(self, channels: Sequence[int], *unused: object) -> None:
        super().__init__()
        self.out_channels = same_width(channels)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of [B, C, H, W] -> [B, C, H, W]."""
        return reduce(torch.add, maps)


class Multiply(Add):
    """The product of maps of one shape."""

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of [B, C, H, W] -> [B, C, H, W]."""
        return reduce(torch.mul, maps)
