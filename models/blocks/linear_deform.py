"""LDConv (AKConv): a convolution of any number of taps, each of which moves.

Zhang, Song, Song, Yang, Ye, Zhou and Zhang, "AKConv: Convolutional Kernel with Arbitrary Sampled
Shapes and Arbitrary Number of Parameters", arXiv 2311.11587, published as "LDConv: Linear
deformable convolution for improving convolutional neural networks", Image and Vision Computing 149,
2024. Attribute names are parts of state-dict keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LDConv(nn.Module):
    """A convolution with `points` taps, a norm and SiLU.

    The taps without offsets are the first `points` cells, row by row, of a grid with
    round(sqrt(points)) columns, whose top left cell is that of the output. A 3x3 convolution of the
    input, zero at first, gives an offset down and one across for each. A tap reads the map
    bilinearly, at the border where it would lie outside.

    Args:
        inputs: channels.
        outputs: channels.
        points: number of taps.
        stride: of the output's cells.
        bias: whether the convolution before the norm has a bias.

    Raises:
        ValueError: points is no whole number from 1 on.
    """

    def __init__(
        self, inputs: int, outputs: int, points: int = 5, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(points, int) or isinstance(points, bool) or points < 1:
            raise ValueError(f"points {points!r}: must be a whole number from 1 on")
        self.points, self.stride = points, stride
        conv = nn.Conv2d(inputs, outputs, (points, 1), (points, 1), bias=bool(bias))
        self.conv = nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.SiLU())
        self.p_conv = nn.Conv2d(inputs, 2 * points, 3, stride, 1)
        for parameter in self.p_conv.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        near = self.sample(x, self.p_conv(x))  # [B, C, points, H/s, W/s]
        conv = self.conv[0]
        assert isinstance(conv, nn.Conv2d)
        # A kernel of all taps is a 1x1 convolution of the taps as channels.
        weight = conv.weight.flatten(1)[..., None, None]
        return self.conv[1:](F.conv2d(near.flatten(1, 2), weight, conv.bias))

    def sample(self, x: Tensor, offsets: Tensor) -> Tensor:
        """x at the taps.

        Args:
            x: [B, C, H, W].
            offsets: [B, 2 * points, H/s, W/s], all of those down first, in cells.

        Returns:
            [B, C, points, H/s, W/s].
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        down, across = offsets.to(wide).chunk(2, 1)  # [B, points, H/s, W/s]
        taps = torch.arange(self.points, device=x.device)
        columns = round(self.points**0.5)
        starts = [
            self.stride * torch.arange(length, device=x.device) for length in offsets.shape[2:]
        ]
        down = down + (taps // columns)[:, None, None] + starts[0][:, None]
        across = across + (taps % columns)[:, None, None] + starts[1]
        # From cells to the coordinates of grid_sample, -1 to 1 between the edges of the map.
        places = torch.stack(
            [
                (2 * place + 1) / length - 1
                for place, length in ((across, x.shape[3]), (down, x.shape[2]))
            ],
            4,
        )
        batch, points, height, width, _ = places.shape
        near = F.grid_sample(
            x.to(wide),
            places.reshape(batch, points * height, width, 2),
            padding_mode="border",
            align_corners=False,
        )
        return near.to(x.dtype).reshape(batch, -1, points, height, width)
