"""Convolutions that depend on the map: it moves AKConv's cells and makes ODConv's kernel.

As in models/common.py, attribute names are parts of state-dict keys.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._numerics import apply_batch_norm

ODCONV_LEAST = 16  # hidden channels of the attentions


class AKConv(nn.Module):
    """A convolution of any number of cells, each at a learned offset from its place.

    Zhang et al., "AKConv: Convolutional Kernel with Arbitrary Sampled Shapes and Arbitrary Number
    of Parameters", arXiv 2311.11587, section 3. The places start as the rows of a near square with
    its first cell at the output's own, and a 3x3 convolution moves them. Values there are bilinear;
    beyond the map its edge repeats.

    Args:
        inputs: channels.
        outputs: channels.
        cells: of the kernel.
        stride: along both sides.
        bias: whether the convolution over the cells has one.
    """

    places: Tensor

    def __init__(
        self, inputs: int, outputs: int, cells: int = 3, stride: int = 1, bias: bool = False
    ) -> None:
        super().__init__()
        self.cells, self.stride = cells, stride
        column = nn.Conv2d(inputs, outputs, (cells, 1), (cells, 1), bias=bool(bias))
        self.conv = nn.Sequential(column, nn.BatchNorm2d(outputs), nn.SiLU())
        self.p_conv = nn.Conv2d(inputs, 2 * cells, 3, stride, 1)
        for value in self.p_conv.parameters():
            nn.init.zeros_(value)
        self.register_buffer("places", _near_square(cells), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s], rounded up."""
        # The type of x may be too coarse for coordinates.
        offsets = self.p_conv(x).float().unflatten(1, (2, self.cells))  # B 2 N H W, rows first
        places = offsets + self.places.float()[:, :, None, None] + self._own_places(offsets)
        sizes = torch.tensor(x.shape[2:], dtype=torch.float32, device=x.device)
        grid = (2 * places + 1) / sizes.view(2, 1, 1, 1) - 1
        # The cells of an output pixel stand in one column, which the convolution reads at once.
        grid = grid.permute(0, 3, 2, 4, 1).flatten(1, 2).flip(3)  # B (H N) W 2, columns first
        seen = F.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)
        return self.conv(seen.to(x.dtype))

    def _own_places(self, offsets: Tensor) -> Tensor:
        """Row and column of each output's own cell in the input, [2, 1, H, W]."""
        rows, columns = (
            self.stride * torch.arange(size, dtype=torch.float32, device=offsets.device)
            for size in offsets.shape[3:]
        )
        return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[:, None]


def _near_square(cells: int) -> Tensor:
    """Row and column of each cell: full rows of round(sqrt(cells)), then the rest, [2, cells]."""
    width = round(math.sqrt(cells))
    numbers = torch.arange(cells)
    return torch.stack((numbers // width, numbers % width)).float()


class ODConv(nn.Module):
    """Omni-dimensional dynamic convolution, a norm and SiLU (Li et al., ICLR 2022, equation 2).

    Means of the map give four attentions: over the input channels, the output channels, the places
    of the kernel (by a sigmoid each) and the kernels (by a softmax). The kernel of an image is the
    sum of all kernels, weighted by them.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side, odd.
        stride: along both sides.
        groups: of channels.
        kernels: how many are mixed.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        kernels: int = 4,
    ) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        hidden = max(inputs // 16, ODCONV_LEAST)
        self.weight = nn.Parameter(torch.empty(kernels, outputs, inputs // groups, kernel, kernel))
        for one in self.weight:
            nn.init.kaiming_normal_(one, mode="fan_out", nonlinearity="relu")
        self.fc = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.fc_bn = nn.BatchNorm2d(hidden)
        self.channel_fc, self.filter_fc = (
            nn.Conv2d(hidden, inputs, 1),
            nn.Conv2d(hidden, outputs, 1),
        )
        self.spatial_fc = nn.Conv2d(hidden, kernel**2, 1)
        self.kernel_fc = nn.Conv2d(hidden, kernels, 1)
        self.bn, self.act = nn.BatchNorm2d(outputs), nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        # A norm of a single image's means has no variance, so it takes the running statistics.
        means = apply_batch_norm(self.fc_bn, self.fc(x.mean((2, 3), keepdim=True))).relu()
        weight = self._weights(means)  # B outputs inputs/groups k k
        images = (x * self.channel_fc(means).sigmoid()).reshape(1, -1, *x.shape[2:])
        groups, padding = len(x) * self.groups, weight.shape[3] // 2
        y = F.conv2d(images, weight.flatten(0, 1), None, self.stride, padding, 1, groups)
        y = y.view(len(x), -1, *y.shape[2:]) * self.filter_fc(means).sigmoid()
        return self.act(self.bn(y))

    def _weights(self, means: Tensor) -> Tensor:
        """The mixed kernel of each image."""
        shares = self.kernel_fc(means).flatten(1).softmax(1)
        places = self.spatial_fc(means).sigmoid().view(len(means), 1, 1, *self.weight.shape[3:])
        return (shares @ self.weight.flatten(1)).view(-1, *self.weight.shape[1:]) * places
