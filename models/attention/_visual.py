"""What LKA and MSCA share: a map times a function of its surroundings, alone or in a wrapper.

The wrapper is that of Guo, Lu, Liu, Cheng and Hu, "Visual Attention Network", figure 3: 1x1
convolutions around it, GELU after the first, and the input added.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._checks import check_flag


class VisualAttention(nn.Module):
    """x * surroundings(x), or x + proj_2(unit(gelu(proj_1 x))) with that as the unit.

    Raises ValueError for a `wrapped` that is not true or false.
    """

    def __init__(self, channels: int, wrapped: bool) -> None:
        super().__init__()
        self.wrapped = check_flag("wrapped", wrapped)
        if wrapped:
            self.proj_1 = nn.Conv2d(channels, channels, 1)
            self.spatial_gating_unit = type(self)(channels, wrapped=False)
            self.proj_2 = nn.Conv2d(channels, channels, 1)
        else:
            self.make_layers(channels)

    def make_layers(self, channels: int) -> None:
        """Make the layers of `surroundings`."""
        raise NotImplementedError

    def surroundings(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the factor of each value, the same shape."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if self.wrapped:
            inner = nn.functional.gelu(self.proj_1(x))  # [B, C, H, W]
            return x + self.proj_2(self.spatial_gating_unit(inner)).to(x.dtype)
        return x * self.surroundings(x).to(x.dtype)
