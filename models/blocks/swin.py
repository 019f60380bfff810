"""C3STR: a C3 whose inner part is a Swin transformer (Liu et al., ICCV 2021).

Windows of side x side cells attend within themselves; every second layer moves them by half a side.
As in models/common.py, attribute names are parts of state-dict keys. Where the C3STR of YOLOv5's
forks differs from the paper, this follows it: SiLU in the perceptron instead of GELU, and maps that
windows do not fill are padded with zeros before the norm.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import C3

MASKED = -100.0  # added to the logits of cells that the shift brought together from apart


def _relative_index(side: int) -> Tensor:
    """For each pair of cells of a window the number of their offset, [side^2, side^2]."""
    cells = torch.arange(side**2)
    rows, columns = cells // side, cells % side
    down = rows[:, None] - rows + side - 1
    right = columns[:, None] - columns + side - 1
    return down * (2 * side - 1) + right


class WindowAttention(nn.Module):
    """Self-attention within windows, with a learned bias for each offset (equation 4)."""

    relative_position_index: Tensor

    def __init__(self, channels: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * side - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", _relative_index(side))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Windows [B, N, side^2, C] and mask [N, 1, side^2, side^2] -> [B, N, side^2, C]."""
        windows, cells = x.shape[1], x.shape[2]
        qkv = self.qkv(x).unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        bias = bias.expand(windows, -1, -1, -1) if mask is None else bias + mask
        bias = bias.reshape(1, windows * self.heads, cells, cells).to(x.dtype)
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias)
        return self.proj(out.unflatten(1, (windows, -1)).transpose(2, 3).flatten(3))


class SwinTransformerLayer(nn.Module):
    """Attention within windows, then a perceptron, each behind a norm and with a residual.

    Args:
        channels: of the map, a multiple of heads.
        heads: of the attention.
        side: of the windows, in cells.
        shift: by which the windows are moved, in cells.
    """

    def __init__(self, channels: int, heads: int, side: int = 8, shift: int = 0) -> None:
        super().__init__()
        self.side, self.shift = side, shift
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads, side)
        self.mlp = nn.Sequential()
        self.mlp.add_module("fc1", nn.Linear(channels, 4 * channels))
        self.mlp.add_module("act", nn.SiLU())
        self.mlp.add_module("fc2", nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % self.side, 0, -height % self.side)).permute(0, 2, 3, 1)
        x = x + self._attend(self.norm1(x))
        x = x + self.mlp(self.norm2(x))
        return x.permute(0, 3, 1, 2)[:, :, :height, :width]

    def _attend(self, x: Tensor) -> Tensor:
        """Attention of a map in channels-last order, whose sides windows fill."""
        batch, height, width, channels = x.shape
        rows, columns = height // self.side, width // self.side
        mask = None
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
            mask = self._mask(height, width, x)
        out = self.attn(self._windows(x), mask)
        out = out.view(batch, rows, columns, self.side, self.side, channels)
        out = out.transpose(2, 3).reshape(batch, height, width, channels)
        return out.roll((self.shift, self.shift), (1, 2)) if self.shift else out

    def _windows(self, x: Tensor) -> Tensor:
        """[B, H, W, C] -> [B, number of windows, side^2, C]."""
        x = x.unflatten(2, (-1, self.side)).unflatten(1, (-1, self.side))
        return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)

    def _mask(self, height: int, width: int, like: Tensor) -> Tensor:
        """MASKED for pairs of cells that were apart before the shift, [N, 1, side^2, side^2]."""
        rows, columns = (
            (torch.arange(size, device=like.device) >= size - self.shift).to(like.dtype)
            for size in (height, width)
        )
        part = (2 * rows[:, None] + columns)[None, :, :, None]
        inside = self._windows(part)[0, :, :, 0]  # N side^2
        return MASKED * (inside[:, None, :, None] != inside[:, None, None, :]).to(like.dtype)


class SwinTransformerBlock(nn.Module):
    """Layers of which every second moves its windows by half a side."""

    def __init__(self, channels: int, heads: int, repeats: int, side: int = 8) -> None:
        super().__init__()
        layer = partial(SwinTransformerLayer, channels, heads, side)
        self.tr = nn.Sequential(*(layer(i % 2 * (side // 2)) for i in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.tr(x)


class C3STR(C3):
    """C3 whose inner part is a Swin transformer of windows of side 8, 32 channels per head."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        heads = max(hidden // 32, 1)
        if hidden % heads:
            raise ValueError(f"{hidden} hidden channels are no multiple of {heads} heads")
        return SwinTransformerBlock(hidden, heads, repeats)
