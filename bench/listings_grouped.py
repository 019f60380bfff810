"""More listings, as in bench/listings.py: groups or branches, and large kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LISTED_KERNELS = {
    7: (3, 3, 2),
    11: (3, 5, 2),
    23: (5, 7, 3),
    35: (5, 11, 3),
}  # LSKA: plain taps, dilated taps, dilation


class ListedShuffleAttention(nn.Module):
    """Groups of two halves, one gated by its mean, one by its normalised map; then a shuffle."""

    def __init__(self, channels: int, groups: int = 8) -> None:
        super().__init__()
        self.groups, half = groups, channels // (2 * groups)
        self.cweight, self.sweight = (nn.Parameter(torch.zeros(1, half, 1, 1)) for _ in range(2))
        self.cbias, self.sbias = (nn.Parameter(torch.ones(1, half, 1, 1)) for _ in range(2))
        self.gn = nn.GroupNorm(half, half)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        first, second = x.reshape(b * self.groups, -1, h, w).chunk(2, dim=1)
        channel = self.cweight * F.adaptive_avg_pool2d(first, 1) + self.cbias
        spatial = self.sweight * self.gn(second) + self.sbias
        out = torch.cat((first * torch.sigmoid(channel), second * torch.sigmoid(spatial)), 1)
        shuffled = out.reshape(b, -1, h, w).reshape(b, 2, -1, h, w).permute(0, 2, 1, 3, 4)
        return shuffled.reshape(b, -1, h, w)


class ListedEMA(nn.Module):
    """Row and column gates with a norm, and a 3x3 convolution; each weights the other."""

    def __init__(self, channels: int, factor: int = 32) -> None:
        super().__init__()
        self.groups, width = factor, channels // factor
        self.gn = nn.GroupNorm(width, width)
        self.conv1x1, self.conv3x3 = (
            nn.Conv2d(width, width, 1),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        parts = x.reshape(b * self.groups, -1, h, w)
        rows = F.adaptive_avg_pool2d(parts, (None, 1))
        columns = F.adaptive_avg_pool2d(parts, (1, None)).permute(0, 1, 3, 2)
        rows, columns = torch.split(self.conv1x1(torch.cat((rows, columns), 2)), [h, w], 2)
        one = self.gn(parts * rows.sigmoid() * columns.permute(0, 1, 3, 2).sigmoid())
        other = self.conv3x3(parts)
        shares = [
            torch.softmax(
                F.adaptive_avg_pool2d(y, 1).reshape(b * self.groups, -1, 1).permute(0, 2, 1), -1
            )
            for y in (one, other)
        ]
        flat = [y.reshape(b * self.groups, c // self.groups, -1) for y in (other, one)]
        weights = (torch.matmul(shares[0], flat[0]) + torch.matmul(shares[1], flat[1])).reshape(
            -1, 1, h, w
        )
        return (parts * weights.sigmoid()).reshape(b, c, h, w)


class ListedGlobalContext(nn.Module):
    """One softmax over space, one weighted sum, a small network, added to every position."""

    def __init__(self, channels: int, ratio: float = 1 / 16) -> None:
        super().__init__()
        hidden = int(channels * ratio)
        self.conv_mask = nn.Conv2d(channels, 1, 1)
        self.channel_add_conv = nn.Sequential(
            nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        mask = F.softmax(self.conv_mask(x).reshape(b, 1, h * w), 2).unsqueeze(-1)
        context = torch.matmul(x.reshape(b, c, h * w).unsqueeze(1), mask).reshape(b, c, 1, 1)
        return x + self.channel_add_conv(context)


class ListedSK(nn.Module):
    """A 3x3 and a dilated 3x3 branch with batch norms, weighted by a softmax over branches."""

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        hidden = max(channels // 16, 32)
        self.paths = nn.ModuleList()
        for dilation in (1, 2):
            path = nn.Module()
            path.conv = nn.Conv2d(
                channels,
                channels,
                3,
                padding=dilation,
                dilation=dilation,
                groups=groups,
                bias=False,
            )
            path.bn = nn.BatchNorm2d(channels)
            self.paths.append(path)
        self.attn = nn.Module()
        self.attn.fc_reduce, self.attn.bn = (
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
        )
        self.attn.fc_select = nn.Conv2d(hidden, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        stacked = torch.stack(
            [F.relu(path.bn(path.conv(x)), inplace=True) for path in self.paths],  # type: ignore
            1,
        )
        reduce, norm, select = self.attn.children()
        pooled = stacked.sum(1).mean((2, 3), keepdim=True)
        chosen = select(F.relu(norm(reduce(pooled)), inplace=True))
        shares = torch.softmax(chosen.reshape(x.shape[0], 2, x.shape[1], 1, 1), 1)
        return torch.sum(stacked * shares, 1)


class ListedLSK(nn.Module):
    """Two depthwise convolutions in a row, and a choice between them at each position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv_spatial = nn.Conv2d(channels, channels, 7, padding=9, groups=channels, dilation=3)
        self.conv1, self.conv2 = (
            nn.Conv2d(channels, channels // 2, 1),
            nn.Conv2d(channels, channels // 2, 1),
        )
        self.conv_squeeze = nn.Conv2d(2, 2, 7, padding=3)
        self.conv = nn.Conv2d(channels // 2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = self.conv0(x)
        far = self.conv_spatial(near)
        near, far = self.conv1(near), self.conv2(far)
        both = torch.cat((near, far), 1)
        squeezed = torch.cat((both.mean(1, keepdim=True), both.max(1, keepdim=True)[0]), 1)
        choice = self.conv_squeeze(squeezed).sigmoid()
        return x * self.conv(near * choice[:, 0:1] + far * choice[:, 1:2])


class ListedLSKA(nn.Module):
    """A large depthwise kernel as four thin ones and a 1x1 convolution."""

    def __init__(self, channels: int, k_size: int = 7) -> None:
        super().__init__()
        plain, dilated, step = LISTED_KERNELS[k_size]

        def thin(height: int, width: int, dilation: int) -> nn.Conv2d:
            padding = (dilation * (height - 1) // 2, dilation * (width - 1) // 2)
            return nn.Conv2d(channels, channels, (height, width), 1, padding, dilation, channels)

        self.conv0h, self.conv0v = thin(1, plain, 1), thin(plain, 1, 1)
        self.conv_spatial_h, self.conv_spatial_v = thin(1, dilated, step), thin(dilated, 1, step)
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        attention = self.conv_spatial_v(self.conv_spatial_h(self.conv0v(self.conv0h(x))))
        return x * self.conv1(attention)
