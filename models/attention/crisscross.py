"""CrissCross: every position attends to its row and its column.

Huang, Wang, Wei, Huang, Shi, Liu and Huang, "CCNet: Criss-Cross Attention for Semantic
Segmentation", ICCV 2019, https://arxiv.org/abs/1811.11721, section 3.2. With queries q and keys k
of C / 8 channels and values v, each a 1x1 convolution of x, and u over the H + W - 1 positions in
the row and the column of p,

    out_p = gamma * sum over u of softmax_u(q_p . k_u) v_u + x_p

where gamma, a learned scalar, starts at 0, so that a new module is the identity. p itself is among
the positions of its row, and masked out of those of its column.

Choices: the paper applies the same module twice (`recurrence: 2`), so that every position reaches
all others; YOLO's public rows do it once, and so does the default. As in the authors' code there is
no scale. key_conv.bias has no gradient, because a softmax does not depend on what is added to all
logits. Below 8 channels q and k have one.

[B, C, H, W] -> [B, C, H, W]. Cost: 1.25 C^2 + 1.25 C + 1 parameters, 82,241 at 256 channels, and
H + W weights for each position.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.06 (-6.22 to +6.09), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +0.61 (-2.76 to +3.99), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.27 (-3.66 to +3.12), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.69 (-1.51 to +2.88), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_count
from models.attention._numerics import wide
from models.attention._registry import register

REDUCTION = 8  # channels of the map for each channel of queries and keys


@register("CrissCrossAttention")
class CrissCross(nn.Module):
    """Adds to each position a weighted mean of the values in its row and column.

    recurrence: how many times it does so, with the same weights. Raises ValueError unless it is a
    whole number from 1 on.
    """

    tutorial_order = ("recurrence",)
    dead_parameters = ("key_conv.bias",)
    starts_as_identity = True

    def __init__(self, channels: int, *, recurrence: int = 1) -> None:
        super().__init__()
        self.recurrence = check_count("recurrence", recurrence, 2)
        hidden = max(1, channels // REDUCTION)
        self.query_conv = nn.Conv2d(channels, hidden, 1)
        self.key_conv = nn.Conv2d(channels, hidden, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        for _ in range(self.recurrence):
            x = x + (self.gamma * self.attend(x)).to(x.dtype)
        return x

    def attend(self, x: Tensor) -> Tensor:
        """The weighted means: [B, C, H, W] -> [B, C, H, W], whatever its memory layout."""
        height, width = x.shape[2:]
        convs = (self.query_conv, self.key_conv, self.value_conv)
        q, k, v = (conv(x).permute(0, 2, 3, 1) for conv in convs)  # [B, H, W, channels] each
        # Within columns the maps are transposed, [B, W, H, channels].
        down = q.transpose(1, 2) @ k.permute(0, 2, 3, 1)  # [B, W, H, H]
        rows = torch.arange(height, device=x.device)
        down = down.masked_fill(rows == rows[:, None], -torch.inf).transpose(1, 2)
        across = q @ k.transpose(2, 3)  # [B, H, W, W]
        logits = torch.cat((down, across), 3)  # [B, H, W, H + W]
        weights = logits.to(wide(x.dtype)).softmax(3).to(v.dtype)
        down, across = weights.split((height, width), 3)
        out = (down.transpose(1, 2) @ v.transpose(1, 2)).transpose(1, 2) + across @ v
        return out.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return f"recurrence={self.recurrence}"
