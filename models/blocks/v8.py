"""The blocks of YOLOv8 and YOLO11 graphs that YOLOv5's lack: C2f, C3k2, C2PSA and their parts.

As in models/common.py, attribute names are parts of state-dict keys, and blocks map
[B, inputs, H, W] to [B, outputs, H, W].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.common import C3, Bottleneck, Conv
from models.spelling import short_names


class WideBottleneck(Bottleneck):
    """Two 3x3 convolutions over int(outputs * expansion) channels.

    The input is added if shortcut is set and the channels agree.
    """

    first_kernel = 3


class C2(nn.Module):
    """Two halves of the channels, of which the first passes wide bottlenecks.

    The head of YOLOv8's P6 graph uses it.
    """

    merge = "cv2"

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
        self.c = hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, 2 * hidden)
        self.cv2 = Conv(2 * hidden, outputs)
        blocks = (
            WideBottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(repeats)
        )
        self.m = nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        deep, straight = self.cv1(x).chunk(2, dim=1)
        return self.cv2(torch.cat((self.m(deep), straight), dim=1))


class C2f(nn.Module):
    """Two halves of the channels, the second through a chain of bottlenecks.

    The outputs of all links are concatenated with the halves. Unlike C3's, the shortcut is off
    unless the row turns it on.
    """

    merge = "cv2"

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = False,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        self.c = self.hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, 2 * self.hidden)
        self.cv2 = Conv((2 + repeats) * self.hidden, outputs)
        self.m = nn.ModuleList(self.make_inner(shortcut, groups) for _ in range(repeats))

    def make_inner(self, shortcut: bool, groups: int) -> nn.Module:
        """One link of the chain: [B, hidden, H, W] -> the same shape. Variants override it."""
        return WideBottleneck(self.hidden, self.hidden, shortcut, groups, expansion=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        parts = [self.cv1(x)]
        last = parts[0][:, self.hidden :]
        for link in self.m:
            last = link(last)
            parts.append(last)
        return self.cv2(torch.cat(parts, dim=1))


class C3k(C3):
    """C3 with wide bottlenecks."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        blocks = (
            WideBottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(repeats)
        )
        return nn.Sequential(*blocks)


class C3k2(C2f):
    """C2f with narrow bottlenecks as links, or with C3k of two bottlenecks each if c3k is set.

    With `attn`, a link is a narrow bottleneck and an attention block whatever c3k is (YOLO26). A
    number in its place is the groups, as rows of YOLO11's first releases have it. Shortcuts are on
    unless the row turns them off.
    """

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        c3k: bool = False,
        expansion: float = 0.5,
        attn: bool | int = False,
        groups: int = 1,
        shortcut: bool = True,
    ) -> None:
        if not isinstance(attn, bool):
            attn, groups, shortcut = False, attn, bool(groups)
        self.c3k, self.attn = bool(c3k), attn  # make_inner reads them while the base class builds
        super().__init__(inputs, outputs, repeats, shortcut, groups, expansion)

    def make_inner(self, shortcut: bool, groups: int) -> nn.Module:
        if self.attn:
            narrow = WideBottleneck(self.hidden, self.hidden, shortcut, groups)
            return nn.Sequential(narrow, PSABlock(self.hidden, max(self.hidden // 64, 1)))
        if self.c3k:
            return C3k(self.hidden, self.hidden, 2, shortcut, groups)
        return WideBottleneck(self.hidden, self.hidden, shortcut, groups)


class Attention(nn.Module):
    """Self-attention between all positions, with a depth-wise convolution as position code.

    Vaswani et al., NeurIPS 2017. Keys and queries have half as many channels as values. The
    position code is computed from the values.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.value_size = channels // heads
        self.key_size = self.value_size // 2
        self.qkv = Conv(channels, channels + 2 * heads * self.key_size, act=False)
        self.proj = Conv(channels, channels, act=False)
        self.pe = Conv(channels, channels, 3, groups=channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        # Not flatten, whose gradient for a single image has a stride of the batch dimension that
        # batch norm's backward pass on a CPU misreads (PyTorch 2.14).
        tokens = self.qkv(x).permute(0, 2, 3, 1)  # B H W heads*(q+k+v)
        size = (x.shape[0], x.shape[2] * x.shape[3], self.heads, -1)
        tokens = tokens.reshape(size).transpose(1, 2)  # B heads HW q+k+v
        query, key, value = tokens.split((self.key_size, self.key_size, self.value_size), dim=3)
        # Scaling the keys is cheaper than scaling the product, which has a value for each pair.
        weights = (query @ (key * self.key_size**-0.5).transpose(2, 3)).softmax(
            dim=3
        )  # B heads HW HW
        map_size = (x.shape[2], x.shape[3])
        return self.proj(_as_map(weights @ value, map_size) + self.pe(_as_map(value, map_size)))


def _as_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """[B, heads, H*W, C / heads] -> [B, C, H, W] in channels-last order, like the tokens."""
    return tokens.transpose(1, 2).flatten(2).unflatten(1, size).permute(0, 3, 1, 2)


class PSABlock(nn.Module):
    """Attention, then two 1x1 convolutions over twice the channels, each with a residual."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.attn = Attention(channels, heads)
        self.ffn = nn.Sequential(
            Conv(channels, 2 * channels), Conv(2 * channels, channels, act=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        x = x + self.attn(x)
        return x + self.ffn(x)


class C2PSA(nn.Module):
    """Two halves of the channels, the second through attention blocks of 64 channels per head."""

    merge = "cv2"

    @short_names
    def __init__(self, inputs: int, outputs: int, repeats: int = 1, expansion: float = 0.5) -> None:
        super().__init__()
        if inputs != outputs:
            raise ValueError(
                f"keeps the number of channels, but gets {inputs} and should give {outputs}"
            )
        self.c = self.hidden = int(inputs * expansion)
        self.cv1 = Conv(inputs, 2 * self.hidden)
        self.cv2 = Conv(2 * self.hidden, outputs)
        self.m = nn.Sequential(
            *(PSABlock(self.hidden, max(self.hidden // 64, 1)) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        straight, deep = self.cv1(x).chunk(2, dim=1)
        return self.cv2(torch.cat((straight, self.m(deep)), dim=1))
