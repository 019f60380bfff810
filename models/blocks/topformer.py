"""TopBasicLayer: the transformer of Gold-YOLO's high stage.

Wang et al., NeurIPS 2023, https://arxiv.org/abs/2309.11331, section 4.3, with the block of Zhang et
al., "TopFormer", CVPR 2022, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv

KEY, VALUE, HEADS = 8, 16, 4  # channels of the keys and of the values of a head; heads


class _Attention(nn.Module):
    """Self-attention of all cells; logits are not divided by the root of the key's channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        conv = partial(Conv, act=False)
        self.to_q, self.to_k = conv(channels, HEADS * KEY), conv(channels, HEADS * KEY)
        self.to_v = conv(channels, HEADS * VALUE)
        self.proj = nn.Sequential(nn.ReLU6(), conv(HEADS * VALUE, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        heads = (to(x).flatten(2).unflatten(1, (HEADS, -1)) for to in (self.to_q, self.to_k))
        query, key = (head.transpose(2, 3) for head in heads)  # B heads cells channels
        value = self.to_v(x).flatten(2).unflatten(1, (HEADS, -1)).transpose(2, 3)
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return self.proj(mixed.transpose(2, 3).reshape(len(x), -1, *x.shape[2:]))


class _Perceptron(nn.Module):
    """Two 1x1 convolutions with a depth-wise 3x3 one and ReLU6 between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = 4 * channels
        self.fc1 = Conv(channels, hidden, act=False)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.fc2 = Conv(hidden, channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return self.fc2(F.relu6(self.dwconv(self.fc1(x))))


class _Block(nn.Module):
    """Attention, then a perceptron of neighbouring cells, each with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attn, self.mlp = _Attention(channels), _Perceptron(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        x = x + self.attn(x)
        return x + self.mlp(x)


class TopBasicLayer(nn.Module):
    """Transformer blocks, then a convolution to the maps that the levels are injected with.

    Args:
        inputs: channels.
        embedding: the same number, as rows state it.
        shares: channels of the map for each level, such as [64, 128].
        blocks: how many blocks there are.
    """

    def __init__(self, inputs: int, embedding: int, shares: Sequence[int], blocks: int = 2) -> None:
        super().__init__()
        if inputs != embedding:
            raise ValueError(f"reads {inputs} channels, but its first argument says {embedding}")
        self.out_channels = sum(shares)
        self.transformer_blocks = nn.Sequential(*(_Block(inputs) for _ in range(blocks)))
        self.conv = nn.Conv2d(inputs, self.out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, sum of the shares, H, W]."""
        return self.conv(self.transformer_blocks(x))
