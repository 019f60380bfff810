"""MobileViT's blocks: MV2Block and MobileViTBlock.

Mehta and Rastegari, "MobileViT", ICLR 2022, https://arxiv.org/abs/2110.02178, section 3.1.
Attribute names are parts of state-dict keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv

HEADS, HEAD_WIDTH = 4, 8  # of the self-attention


class MV2Block(nn.Module):
    """MobileNetV2's bottleneck with SiLU.

    Args:
        inputs: channels.
        outputs: channels.
        stride: 1 or 2; the input is added where it is 1 and the channels agree.
        expansion: hidden channels as a multiple of the inputs; 1 leaves out the first convolution.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expansion: float = 4) -> None:
        super().__init__()
        hidden = int(inputs * expansion)
        expand = [Conv(inputs, hidden)] if expansion != 1 else []
        deep = Conv(hidden, hidden, 3, stride, groups=hidden)
        self.conv = nn.Sequential(*expand, deep, Conv(hidden, outputs, act=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        y = self.conv(x)
        return x + y if self.residual else y


class _Layer(nn.Module):
    """Self-attention and a perceptron, each behind a norm and with a residual."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        inner = HEADS * HEAD_WIDTH
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.to_qkv = nn.Linear(channels, 3 * inner, bias=False)
        self.to_out = nn.Linear(inner, channels)
        self.net = nn.Sequential(
            nn.Linear(channels, hidden), nn.SiLU(), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Tokens [B, N, C] -> [B, N, C]."""
        qkv = self.to_qkv(self.norm1(x)).unflatten(2, (3, HEADS, HEAD_WIDTH))
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each B heads N width
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.to_out(mixed.transpose(1, 2).flatten(2))
        return x + self.net(self.norm2(x))


class MobileViTBlock(nn.Module):
    """Local convolutions, then attention between the cells at one place of all patches.

    Rows write [c2, hidden, depth, kernel, side, mlp]. Only c2, which must be the number of inputs,
    is scaled by the width of the graph, as in the programs that have the block. Maps that patches
    do not fill repeat their last row and column meanwhile.

    Args:
        inputs: channels.
        outputs: the same number.
        hidden: channels of the tokens.
        depth: number of transformer layers.
        kernel: side of the convolutions.
        side: of the patches, in cells.
        mlp: hidden channels of the perceptrons.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        depth: int,
        kernel: int = 3,
        side: int = 2,
        mlp: int = 192,
    ) -> None:
        super().__init__()
        if inputs != outputs:
            raise ValueError(f"keeps the channels, but gets {inputs} and should give {outputs}")
        self.side = side
        self.conv1, self.conv2 = Conv(inputs, inputs, kernel), Conv(inputs, hidden)
        self.transformer = nn.Sequential(*(_Layer(hidden, mlp) for _ in range(depth)))
        self.conv3, self.conv4 = Conv(hidden, inputs), Conv(2 * inputs, inputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        joint = self.conv3(self._mix(self.conv2(self.conv1(x))))
        return self.conv4(torch.cat((joint, x), dim=1))

    def _mix(self, x: Tensor) -> Tensor:
        """The transformer over the patches, for each place within them apart."""
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % self.side, 0, -height % self.side), mode="replicate")
        batch, channels, rows, columns = x.shape
        rows, columns = rows // self.side, columns // self.side
        patches = x.view(batch, channels, rows, self.side, columns, self.side)
        tokens = patches.permute(0, 3, 5, 2, 4, 1).reshape(-1, rows * columns, channels)
        tokens = self.transformer(tokens)
        patches = tokens.view(batch, self.side, self.side, rows, columns, channels)
        x = patches.permute(0, 5, 3, 1, 4, 2).flatten(4, 5).flatten(2, 3)
        return x[:, :, :height, :width]
