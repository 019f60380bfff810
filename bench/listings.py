"""Modules that compute as tutorials' listings do, for bench/attention_speed.py.

Each class runs the tensor operations that the authors' published code runs in eager mode, in the
same order and with the same copies. They are written from the formulas in the papers and from what
is known about the code's behaviour. They serve for timing and comparison only. Parameter names are
the official ones, so that weights can be copied. `reshape` replaces the originals' `view`, since it
costs the same and also accepts channels-last maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ListedSimAM(nn.Module):
    """Two reductions and six elementwise maps."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        others = x.shape[2] * x.shape[3] - 1
        squares = (x - x.mean((2, 3), keepdim=True)).pow(2)
        energy = squares / (4 * (squares.sum((2, 3), keepdim=True) / others + 1e-4)) + 0.5
        return x * torch.sigmoid(energy)


class ListedGAM(nn.Module):
    """A permute and a perceptron over channels, then two dense 7x7 convolutions."""

    def __init__(self, channels: int, rate: int = 4) -> None:
        super().__init__()
        hidden = channels // rate
        self.channel_attention = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels)
        )
        self.spatial_attention = nn.Sequential(
            nn.Conv2d(channels, hidden, 7, padding=3),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 7, padding=3),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(b, -1, c)
        gate = self.channel_attention(rows).reshape(b, h, w, c).permute(0, 3, 1, 2).sigmoid()
        x = x * gate
        return x * self.spatial_attention(x).sigmoid()


class ListedCBAM(nn.Module):
    """Two pooled vectors through one perceptron; then a 7x7 convolution of maximum and mean."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel_attention = nn.Module()
        self.channel_attention.fc1 = nn.Linear(channels, channels // reduction)
        self.channel_attention.fc2 = nn.Linear(channels // reduction, channels)
        self.spatial_attention = nn.Module()
        self.spatial_attention.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.spatial_attention.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        size, channel, spatial = x.shape[2:], self.channel_attention, self.spatial_attention
        mean, peak = F.avg_pool2d(x, size, stride=size), F.max_pool2d(x, size, stride=size)
        one, other = (
            channel.fc2(F.relu(channel.fc1(pool.flatten(1))))  # type: ignore[operator]
            for pool in (mean, peak)
        )
        x = x * torch.sigmoid(one + other)[:, :, None, None].expand_as(x)
        stacked = torch.cat((x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)), 1)
        return x * torch.sigmoid(spatial.bn(spatial.conv(stacked)))  # type: ignore[operator]


class ListedNAM(nn.Module):
    """Batch norm, then its weights again on a map that is permuted to channels-last and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.Channel_Att = nn.Module()
        self.Channel_Att.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        norm = self.Channel_Att.bn2
        size = norm.weight.detach().abs()  # type: ignore[operator, union-attr]
        turned = norm(x).permute(0, 2, 3, 1).contiguous()  # type: ignore[operator]
        turned = torch.mul(size / size.sum(), turned)
        return torch.sigmoid(turned.permute(0, 3, 1, 2).contiguous()) * x


class ListedDoubleAttention(nn.Module):
    """Three convolutions, two softmaxes, two matrix products, and a convolution at the end."""

    def __init__(self, channels: int, c_m: int = 0, c_n: int = 0) -> None:
        super().__init__()
        sizes = [size or channels // 4 for size in (c_m, c_n, c_n)]
        self.convA, self.convB, self.convV = (nn.Conv2d(channels, size, 1) for size in sizes)
        self.conv_reconstruct = nn.Conv2d(sizes[0], channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        features, maps, vectors = (
            conv(x).reshape(b, -1, h * w) for conv in (self.convA, self.convB, self.convV)
        )
        maps, vectors = F.softmax(maps, 2), F.softmax(vectors, 1)
        gathered = torch.bmm(features, maps.permute(0, 2, 1))
        return self.conv_reconstruct(gathered.matmul(vectors).reshape(b, -1, h, w))


class ListedCoordAttention(nn.Module):
    """Means along rows and columns through one convolution, then two gates."""

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.conv1, self.bn1 = nn.Conv2d(channels, hidden, 1), nn.BatchNorm2d(hidden)
        self.conv_h, self.conv_w = nn.Conv2d(hidden, channels, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h, w = x.shape[2:]
        rows = F.adaptive_avg_pool2d(x, (None, 1))
        columns = F.adaptive_avg_pool2d(x, (1, None)).permute(0, 1, 3, 2)
        y = self.bn1(self.conv1(torch.cat((rows, columns), 2)))
        y = y * (F.relu6(y + 3) / 6)
        rows, columns = torch.split(y, [h, w], 2)
        gate_h, gate_w = (
            self.conv_h(rows).sigmoid(),
            self.conv_w(columns.permute(0, 1, 3, 2)).sigmoid(),
        )
        return x * gate_w * gate_h


class ListedACmix(nn.Module):
    """Attention in 7x7 windows, all of them materialised, and shifts by a grouped convolution."""

    def __init__(self, channels: int, window: int = 7, head: int = 4) -> None:
        super().__init__()
        self.head, self.window, self.width = head, window, channels // head
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        self.conv_p = nn.Conv2d(2, self.width, 1)
        self.fc = nn.Conv2d(3 * head, 9, 1, bias=False)
        self.dep_conv = nn.Conv2d(
            9 * self.width, channels, 3, padding=1, groups=self.width, bias=False
        )
        self.rate1, self.rate2 = (
            nn.Parameter(torch.full((1,), 0.5)),
            nn.Parameter(torch.full((1,), 0.5)),
        )

    def windows(self, x: Tensor) -> Tensor:
        """[N, d, H, W] -> [N, d, window^2, H, W], every window a copy."""
        padded = F.pad(x, [self.window // 2] * 4, mode="reflect")
        return F.unfold(padded, self.window).reshape(x.shape[0], self.width, -1, *x.shape[2:])

    def attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        b, c, h, w = q.shape
        across = torch.linspace(-1, 1, w, device=q.device, dtype=q.dtype).repeat(h, 1)
        down = torch.linspace(-1, 1, h, device=q.device, dtype=q.dtype).view(-1, 1).repeat(1, w)
        position = self.conv_p(torch.stack((across, down)).unsqueeze(0))
        q, k, v = (
            part.reshape(b * self.head, self.width, h, w) for part in (q * self.width**-0.5, k, v)
        )
        keys = self.windows(k) + position.unsqueeze(2) - self.windows(position)
        weights = F.softmax((q.unsqueeze(2) * keys).sum(1), 1)
        return (weights.unsqueeze(1) * self.windows(v)).sum(2).reshape(b, c, h, w)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        parts = self.conv1(x), self.conv2(x), self.conv3(x)
        stacked = torch.cat([part.reshape(b, self.head, self.width, h * w) for part in parts], 1)
        shifted = self.fc(stacked).permute(0, 2, 1, 3).reshape(b, -1, h, w)
        return self.rate1 * self.attention(*parts) + self.rate2 * self.dep_conv(shifted)


class ListedSE(nn.Module):
    """The mean through a perceptron, which gives one gate per channel."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = channels // reduction
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False), nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc(F.adaptive_avg_pool2d(x, 1).reshape(x.shape[:2]))
        return x * gate[:, :, None, None].expand_as(x)


class ListedBAM(nn.Module):
    """A channel and a spatial branch, both expanded to the map before they are multiplied."""

    def __init__(self, channels: int, reduction: int = 16, dilation: int = 4) -> None:
        super().__init__()
        hidden = channels // reduction
        self.channel_att, self.spatial_att = nn.Module(), nn.Module()
        self.channel_att.fc0, self.channel_att.bn0 = (
            nn.Linear(channels, hidden),
            nn.BatchNorm1d(hidden),
        )
        self.channel_att.fc_final = nn.Linear(hidden, channels)
        self.spatial_att.conv_reduce = nn.Conv2d(channels, hidden, 1)
        self.spatial_att.bn_reduce = nn.BatchNorm2d(hidden)
        for index in range(2):
            conv = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
            self.spatial_att.add_module(f"conv{index}", conv)
            self.spatial_att.add_module(f"bn{index}", nn.BatchNorm2d(hidden))
        self.spatial_att.conv_final = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        fc0, bn0, last = self.channel_att.children()
        channel = last(F.relu(bn0(fc0(F.avg_pool2d(x, x.shape[2:]).flatten(1)))))
        y, layers = x, list(self.spatial_att.children())
        for conv, norm in zip(layers[0:-1:2], layers[1:-1:2], strict=True):
            y = F.relu(norm(conv(y)))
        spatial = layers[-1](y).expand_as(x)
        return (1 + torch.sigmoid(channel[:, :, None, None].expand_as(x) * spatial)) * x


class ListedECA(nn.Module):
    """The mean through a convolution along the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reach = int((math.log2(channels) + 1) / 2)
        size = reach if reach % 2 else reach + 1
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.adaptive_avg_pool2d(x, 1)
        gate = self.conv(pooled.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
        return x * torch.sigmoid(gate).expand_as(x)


class _ZGate(nn.Module):
    """A gate by a 7x7 convolution of the maximum and mean over the second dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Module()
        self.conv.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.conv.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        stacked = torch.cat((x.max(1)[0].unsqueeze(1), x.mean(1).unsqueeze(1)), 1)
        return x * torch.sigmoid(self.conv.bn(self.conv.conv(stacked)))  # type: ignore[operator]


class ListedTripletAttention(nn.Module):
    """The gate on three permutations of the map, two of which are copied and permuted back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cw, self.hc, self.hw = _ZGate(), _ZGate(), _ZGate()

    def forward(self, x: Tensor) -> Tensor:
        first = self.cw(x.permute(0, 2, 1, 3).contiguous()).permute(0, 2, 1, 3).contiguous()
        second = self.hc(x.permute(0, 3, 2, 1).contiguous()).permute(0, 3, 2, 1).contiguous()
        return 1 / 3 * (self.hw(x) + first + second)
