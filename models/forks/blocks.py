"""Our blocks with the constructors and attributes that Ultralytics' have, for classes of forks.

Forks derive from these blocks, call them by position, and read `c`, `add`, `num_heads` and the
like. State-dict keys are those of models/blocks/v8.py, from which these derive.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from models.attention.area import AAttn, ABlock
from models.attention.cbam import CBAM
from models.blocks import v8
from models.blocks.v12 import A2C2f
from models.common import Bottleneck, Conv, Sides
from models.heads.anchor_free import DFL
from models.spelling import short_names

PSA_BLOCK_OPTIONS = MappingProxyType({"attn_ratio": 0.5, "num_heads": 4, "shortcut": True})
A2C2F_OPTIONS = ("a2", "area", "residual", "mlp_ratio", "e", "g", "shortcut")


class WideForkBottleneck(Bottleneck):
    """Bottleneck of YOLOv8: the sides of both kernels stand before the expansion."""

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        shortcut: bool = True,
        groups: int = 1,
        kernel: Any = (3, 3),
        expansion: float = 0.5,
    ) -> None:
        if isinstance(kernel, float):  # a call in the order of YOLOv5
            kernel, expansion = (1, 3), kernel
        first, second = (kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(inputs, outputs, shortcut, groups, expansion)
        hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, hidden, first)
        self.cv2 = Conv(hidden, outputs, second, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        y = self.cv2(self.cv1(x))
        return x + y if self.add else y


class ForkC3k(v8.C3k):
    """C3k whose bottlenecks have kernels of the side that the last argument gives."""

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
        kernel: Sides = 3,
    ) -> None:
        self.side = kernel  # make_inner reads it while the base class builds
        super().__init__(inputs, outputs, repeats, shortcut, groups, expansion)

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        sides = (self.side, self.side)
        return nn.Sequential(
            *(
                WideForkBottleneck(hidden, hidden, shortcut, groups, sides, 1.0)
                for _ in range(repeats)
            )
        )


class ForkAttention(v8.Attention):
    """Self-attention of a number of heads, whose keys are a share of the values' channels.

    Args:
        dim: channels.
        num_heads: a divisor of the channels.
        attn_ratio: channels of the keys, as a share of a head's.
    """

    def __init__(self, dim: int, num_heads: int = 8, attn_ratio: float = 0.5) -> None:
        num_heads = max(num_heads, 1)  # dim // 64 of a narrow graph is 0
        super().__init__(dim, num_heads)
        self.num_heads, self.head_dim = num_heads, self.value_size
        self.key_dim = self.key_size = int(self.value_size * attn_ratio)
        self.scale = self.key_dim**-0.5
        self.qkv = Conv(dim, dim + 2 * num_heads * self.key_dim, act=False)


class ForkPSABlock(v8.PSABlock):
    """Attention, then two 1x1 convolutions, each with a residual unless shortcut is off."""

    def __init__(self, c: int, *values: Any, **named: Any) -> None:
        options = {
            **PSA_BLOCK_OPTIONS,
            **dict(zip(PSA_BLOCK_OPTIONS, values, strict=False)),
            **named,
        }
        super().__init__(c, 1)
        self.add = options["shortcut"]
        self.attn = ForkAttention(c, options["num_heads"], options["attn_ratio"])

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        for step in (self.attn, self.ffn):
            x = step(x) if not self.add else x + step(x)
        return x


class ForkAAttn(AAttn):
    """Area attention with its options by position too."""

    def __init__(self, dim: int, num_heads: int | None = None, area: int = 1) -> None:
        super().__init__(dim, num_heads=num_heads or None, area=area)
        self.head_dim = dim // self.num_heads


class ForkABlock(ABlock):
    """The block around area attention, with its options by position too."""

    def __init__(
        self, dim: int, num_heads: int | None = None, mlp_ratio: float = 1.2, area: int = 1
    ) -> None:
        super().__init__(dim, num_heads=num_heads or None, mlp_ratio=mlp_ratio, area=area)


class ForkA2C2f(A2C2f):
    """A2C2f with groups and shortcut, which stand at the end of Ultralytics' constructor.

    Both concern links that are no attention, and these files leave them at 1 and True.
    """

    def __init__(self, c1: int, c2: int, n: int = 1, *values: Any, **named: Any) -> None:
        options = dict(zip(A2C2F_OPTIONS, values, strict=False)) | named
        options["expansion"] = options.pop("e", 0.5)
        known = {name: options[name] for name in options if name not in ("g", "shortcut")}
        super().__init__(c1, c2, n, **known)


class ForkChannelGate(nn.Module):
    """Scales channels by a 1x1 convolution of their means."""

    def __init__(self, channels: int, *ignored: object) -> None:
        super().__init__()
        self.fc, self.act = nn.Conv2d(channels, channels, 1), nn.Sigmoid()
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        gate = self.fc(self.pool(x))
        return self.act(gate) * x


class ForkSpatialGate(nn.Module):
    """Scales positions by a convolution of the mean and maximum over channels."""

    def __init__(self, kernel_size: int = 7) -> None:
        super().__init__()
        self.cv1 = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.act = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        both = torch.cat((x.mean(1, keepdim=True), x.amax(1, keepdim=True)), 1)
        return x * self.act(self.cv1(both))


class ForkCBAM(nn.Module):
    """ForkChannelGate, then ForkSpatialGate: CBAM as Ultralytics has it."""

    def __init__(self, c1: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.channel_attention = ForkChannelGate(c1)
        self.spatial_attention = ForkSpatialGate(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.spatial_attention(self.channel_attention(x))


class PaperCBAM(CBAM):
    """CBAM of the paper with reduction and kernel side by position, as YOLOv5's forks call it."""

    def __init__(self, c1: int, *options: int) -> None:
        # (c1, c2, …) repeats the channels.
        rest = list(options[1:] if options[:1] == (c1,) else options)
        kernel = rest.pop() if len(rest) == 2 or (rest and rest[0] % 2) else 7
        super().__init__(c1, reduction=rest[0] if rest else 16, kernel_size=kernel)


class ForkDFL(DFL):
    """DFL over the maps of a head: [B, 4 bins, N] -> [B, 4, N]."""

    def __init__(self, c1: int = 16) -> None:
        super().__init__(c1)
        self.c1 = c1

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, 4 * bins, N] -> means [B, 4, N], in cells."""
        batch, _, count = x.shape
        return super().forward(x.view(batch, 4, self.c1, count).transpose(2, 3))
