"""The backbone of Swin transformers as rows: PatchEmbed, SwinStage and PatchMerging.

Liu et al., "Swin Transformer", ICCV 2021, section 3.1. Attribute names are parts of state-dict
keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.swin import SwinTransformerLayer


class PatchEmbed(nn.Module):
    """A convolution whose stride is its side, over a map that zeros fill up to whole patches."""

    def __init__(self, inputs: int, outputs: int, side: int = 4) -> None:
        super().__init__()
        self.side = side
        self.proj = nn.Conv2d(inputs, outputs, side, side)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/side, W/side], rounded up."""
        return self.proj(F.pad(x, (0, -x.shape[3] % self.side, 0, -x.shape[2] % self.side)))


class PatchMerging(nn.Module):
    """The four cells of each 2x2 patch, joined, pass a norm and a linear map.

    The paper's linear map gives twice the inputs; here the row says how many.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * inputs)
        self.reduction = nn.Linear(4 * inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/2, W/2], rounded up."""
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)).permute(0, 2, 3, 1)
        # Trained weights expect the corners in this order: rows alternate fastest.
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=3))).permute(0, 3, 1, 2)


class _Layer(SwinTransformerLayer):
    """A layer with GELU; its map is filled up to whole windows behind the norm as in the paper."""

    def __init__(self, channels: int, heads: int, side: int, shift: int) -> None:
        super().__init__(channels, heads, side, shift)
        self.mlp.add_module("act", nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        height, width = x.shape[2:]
        x = x.permute(0, 2, 3, 1)
        filled = F.pad(self.norm1(x), (0, 0, 0, -width % self.side, 0, -height % self.side))
        x = x + self._attend(filled)[:, :height, :width]
        return (x + self.mlp(self.norm2(x))).permute(0, 3, 1, 2)


class SwinStage(nn.Module):
    """The layers of one stage; every second moves its windows by half a side.

    Rows write [c2, depth, heads, side]; c2 is the number of inputs and a multiple of heads.

    Args:
        inputs: channels.
        outputs: the same number.
        depth: number of layers.
        heads: of the attention.
        side: of the windows, in cells.
    """

    def __init__(self, inputs: int, outputs: int, depth: int, heads: int, side: int = 7) -> None:
        super().__init__()
        if inputs != outputs:
            raise ValueError(f"keeps the channels, but gets {inputs} and should give {outputs}")
        if inputs % heads:
            raise ValueError(f"{inputs} channels are no multiple of {heads} heads")
        layers = (_Layer(inputs, heads, side, i % 2 * (side // 2)) for i in range(depth))
        self.blocks = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.blocks(x)
