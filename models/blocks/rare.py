"""The rarer blocks, for models/hub: transformer, older CSP, mixed and rearranging ones.

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H', W'].
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import C3, Bottleneck, Conv, Residual, Sides
from models.spelling import short_names


class CrossConv(Residual):
    """A 1xk convolution followed by a kx1 one."""

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        expansion: float = 1.0,
        shortcut: bool = False,
    ) -> None:
        super().__init__(outputs)
        hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, hidden, (1, kernel), (1, stride))
        self.cv2 = Conv(hidden, outputs, (kernel, 1), (stride, 1), groups=groups)
        self.residual = bool(shortcut) and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        y = self.attend(self.cv2(self.cv1(x)))
        return x + y if self.residual else y


class C3x(C3):
    """C3 with cross convolutions."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(
            *(CrossConv(hidden, hidden, 3, 1, groups, 1.0, shortcut) for _ in range(repeats))
        )


class SPP(nn.Module):
    """Spatial pyramid pooling: the map and its max pools of several sides, concatenated.

    He et al., ECCV 2014. `kernel` has the sides of the pools, which must be odd.
    """

    merge = "cv2"

    @short_names
    def __init__(self, inputs: int, outputs: int, kernel: tuple[int, ...] = (5, 9, 13)) -> None:
        super().__init__()
        half = inputs // 2
        self.cv1 = Conv(inputs, half)
        self.cv2 = Conv(half * (1 + len(kernel)), outputs)
        self.m = nn.ModuleList(nn.MaxPool2d(side, stride=1, padding=side // 2) for side in kernel)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        x = self.cv1(x)
        return self.cv2(torch.cat((x, *(pool(x) for pool in self.m)), dim=1))


class C3SPP(C3):
    """C3 whose inner part is one SPP with pools of sides `kernel`."""

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, ...] = (5, 9, 13),
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        self.sides = kernel  # make_inner reads it while the base class builds
        super().__init__(inputs, outputs, repeats, shortcut, groups, expansion)

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return SPP(hidden, hidden, self.sides)


class TransformerLayer(nn.Module):
    """Self-attention, then two linear maps, each with a residual.

    There is no norm, no activation, and no bias besides that of the attention.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        square = partial(nn.Linear, channels, channels, bias=False)
        self.q, self.k, self.v = square(), square(), square()
        self.ma = nn.MultiheadAttention(channels, heads)
        self.fc1, self.fc2 = square(), square()

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [H*W, B, C] -> [H*W, B, C]."""
        x = x + self.ma(self.q(x), self.k(x), self.v(x), need_weights=False)[0]
        return x + self.fc2(self.fc1(x))


class TransformerBlock(nn.Module):
    """The cells of a map as tokens: a linear position embedding, then transformer layers.

    Dosovitskiy et al., ICLR 2021.
    """

    def __init__(self, inputs: int, outputs: int, heads: int, repeats: int) -> None:
        super().__init__()
        self.conv = Conv(inputs, outputs) if inputs != outputs else None
        self.linear = nn.Linear(outputs, outputs)
        self.tr = nn.Sequential(*(TransformerLayer(outputs, heads) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        if self.conv is not None:
            x = self.conv(x)
        tokens = x.flatten(2).permute(2, 0, 1)
        return self.tr(tokens + self.linear(tokens)).permute(1, 2, 0).unflatten(2, x.shape[2:])


class C3TR(C3):
    """C3 whose inner part is a transformer with four heads."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return TransformerBlock(hidden, hidden, 4, repeats)


class BottleneckCSP(nn.Module):
    """The older cross-stage-partial block, with a norm over both halves.

    Wang et al., CVPRW 2020.
    """

    merge = "cv4"

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, hidden)
        self.cv2 = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.cv4 = Conv(2 * hidden, outputs)
        self.bn = nn.BatchNorm2d(2 * hidden)
        self.m = nn.Sequential(
            *(Bottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        deep = self.cv3(self.m(self.cv1(x)))
        # Always SiLU: the activation of the graph is for Conv blocks.
        return self.cv4(F.silu(self.bn(torch.cat((deep, self.cv2(x)), dim=1))))


class MixConv2d(nn.Module):
    """Convolutions of several kernel sides in parallel (Tan and Le, BMVC 2019).

    `kernel` has the sides. With equal_ch all of them give the same number of channels, else all
    have about the same number of weights.
    """

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: tuple[int, ...] = (1, 3),
        stride: int = 1,
        equal_ch: bool = True,
    ) -> None:
        super().__init__()
        shares = [1.0 if equal_ch else 1 / side**2 for side in kernel]
        edges = [round(outputs * sum(shares[:i]) / sum(shares)) for i in range(len(kernel) + 1)]
        widths = [end - start for start, end in pairwise(edges)]
        self.m = nn.ModuleList(
            nn.Conv2d(
                inputs, width, side, stride, side // 2, groups=math.gcd(inputs, width), bias=False
            )
            for side, width in zip(kernel, widths, strict=True)
        )
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        return F.silu(self.bn(torch.cat([conv(x) for conv in self.m], dim=1)))


class Focus(nn.Module):
    """Turns each 2x2 patch into four times the channels, then convolves.

    It was the stem of YOLOv5 before v6.
    """

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sides = 1,
        stride: Sides = 1,
        padding: Sides | None = None,
        groups: int = 1,
        act: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        self.conv = Conv(4 * inputs, outputs, kernel, stride, padding, groups, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2s, W/2s]."""
        # Trained weights expect the corners in this order: rows alternate fastest.
        corners = [x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.conv(torch.cat(corners, dim=1))


class DWConvTranspose2d(nn.ConvTranspose2d):
    """Depth-wise transposed convolution; p1 and p2 are PyTorch's padding and output_padding."""

    @short_names
    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, p1: int = 0, p2: int = 0
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, p1, p2, groups=math.gcd(inputs, outputs))


class Contract(nn.Module):
    """Turns patches of gain x gain pixels into channels."""

    def __init__(self, gain: int = 2) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C * gain^2, H / gain, W / gain]."""
        patches = x.unflatten(3, (-1, self.gain)).unflatten(2, (-1, self.gain))  # B C H/g g W/g g
        return patches.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


class Expand(nn.Module):
    """Turns channels into patches of gain x gain pixels, the inverse of Contract."""

    def __init__(self, gain: int = 2) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C / gain^2, H * gain, W * gain]."""
        patches = x.unflatten(1, (self.gain, self.gain, -1))  # B g g C/g^2 H W
        return patches.permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)
