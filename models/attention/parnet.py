"""ParNet's block: a 3x3 convolution, a 1x1 convolution and a gated copy of the input, added.

Goyal, Bochkovskiy, Deng and Koltun, "Non-deep Networks", NeurIPS 2022,
https://arxiv.org/abs/2110.07641, section 3.1. With `norm` batch norm, i = norm(x) and W a 1x1
convolution,

    out = silu(norm(conv 3x3 of x) + norm(conv 1x1 of x) + i * sigmoid(W mean of i))

[B, C, H, W] -> [B, C, H, W]. It replaces x and costs more than a 3x3 convolution: 11 C^2 + 6 C
parameters, 722,432 at 256 channels. It is bound by arithmetic, not by memory.

ParNetAttention, below, is what YOLO's public code has under that name: x itself is gated rather
than i, and all convolutions have biases. Those of conv1x1 and conv3x3 have no gradient in train
mode, because a batch norm follows.

Choices: the authors' class has ReLU unless it is told otherwise; the paper's networks have SiLU,
and so does the default. The forms with a stride, with groups or with other output channels are not
here. In training, batch norm of one value takes the running statistics.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- ParNet, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -1.05 (-7.21 to +5.10), 3
  seeds.
- ParNetAttention, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -2.23 (-8.36 to
  +3.89), 3 seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._numerics import AnyBatchNorm, apply_batch_norm
from models.attention._registry import IGNORED, register
from models.attention.fast.gates import pool, scale

FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {"silu": F.silu, "relu": F.relu}
)


class _NormedConv(nn.Module):
    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return apply_batch_norm(self.bn, self.conv(x))


@register()
class ParNet(nn.Module):
    """Adds two convolutions of a map and its gated norm.

    activation: "silu" or "relu". Raises ValueError for any other.
    """

    tutorial_order = ("activation",)

    def __init__(self, channels: int, *, activation: str = "silu") -> None:
        super().__init__()
        if not isinstance(activation, str) or activation not in FUNCTIONS:
            raise ValueError(f"activation={activation!r}: must be silu or relu")
        self.activation = activation
        self.rbr_identity = nn.BatchNorm2d(channels)
        self.rbr_dense = _NormedConv(channels, 3)
        self.rbr_1x1 = _NormedConv(channels, 1)
        # The names are those of the authors' code: se.cvsig.conv.
        self.se, inner = nn.Sequential(), nn.Sequential()
        inner.add_module("conv", nn.Conv2d(channels, channels, 1, bias=False))
        self.se.add_module("cvsig", inner)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        identity = apply_batch_norm(self.rbr_identity, x)
        gated = scale(identity, self.se(pool(identity)).sigmoid())
        total = self.rbr_dense(x) + self.rbr_1x1(x) + gated
        return FUNCTIONS[self.activation](total).to(x.dtype)

    def extra_repr(self) -> str:
        return f"activation={self.activation}"


class _NormedLayers(nn.Sequential):
    def __init__(self, channels: int, kernel_size: int) -> None:
        conv = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
        super().__init__(conv, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        conv, norm = self
        assert isinstance(norm, AnyBatchNorm)
        return apply_batch_norm(norm, conv(x))


@register()
class ParNetAttention(nn.Module):
    """Adds two convolutions of a map and its gated copy, as YOLO's public code; without options."""

    other_orders = ((IGNORED, IGNORED),)  # [512, 0.5, 2] of a public graph, for no known class

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.sse = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels, 1), nn.Sigmoid()
        )
        self.conv1x1, self.conv3x3 = _NormedLayers(channels, 1), _NormedLayers(channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        gated = scale(x, self.sse[1](pool(x)).sigmoid())
        return F.silu(self.conv1x1(x) + self.conv3x3(x) + gated).to(x.dtype)
