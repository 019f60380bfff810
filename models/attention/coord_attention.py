"""Coordinate attention: a gate for each channel and row, and one for each channel and column.

Hou, Zhou and Feng, "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021,
https://arxiv.org/abs/2103.02907. Equations 4 to 9: z_h = mean of x over its width, z_w = mean over
its height, f = hardswish(BN(conv1 [z_h; z_w])), output x * sigmoid(conv_h f_h) * sigmoid(conv_w
f_w). All convolutions are 1 x 1.

[B, C, H, W] -> [B, C, H, W]. Cost: with m = max(8, C // reduction) hidden channels 3 C m + 3 m + 2
C parameters.

Choices: hardswish and biases are those of the authors' code; the paper leaves the non-linearity
open. conv1.bias has no effect and no gradient in train mode, since batch norm follows. A map of one
position in train mode with batch 1 still has two values, so batch norm is always defined; both
means are the map itself then.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -4.23 (-10.80 to +2.34), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.65 (-3.67 to +2.37), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -2.41 (-5.81 to +0.98), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.37 (-1.78 to +2.52), 3 seeds.
- bccd, from scratch, 30 epochs, paper start: hurts, -2.48 (-4.69 to -0.26), 3 seeds.
- bccd, from scratch, 12 epochs, paper start: no evidence, -1.65 (-7.56 to +4.26), 5 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_reduction
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.coord_attention import fast_coord_attention

SMALLEST_HIDDEN = 8


@register("CoordAtt", "CA", "CABlock", "CoordAtt_Attention", "CoordinateAttention")
class CoordAttention(nn.Module):
    """Scales rows and columns of every channel.

    The gates share max(8, C // reduction) hidden channels. Raises ValueError for a reduction that
    is not a whole number from 1 up to the channels (or 32).
    """

    tutorial_order = ("reduction",)
    usual_values = (8, 16, 32, 64)

    def __init__(self, channels: int, *, reduction: int = 32) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 32)
        hidden = max(SMALLEST_HIDDEN, channels // reduction)
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if use_fast(x):
            return fast_coord_attention(x, self.gates)
        rows = x.mean(3, keepdim=True, dtype=wide(x.dtype))  # [B, C, H, 1], equation 4
        columns = x.mean(2, keepdim=True, dtype=wide(x.dtype))  # [B, C, 1, W], equation 5
        rows, columns = self.gates(rows, columns)
        return x * rows.to(x.dtype) * columns.to(x.dtype)  # equation 9

    def gates(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Means [B, C, H, 1] and [B, C, 1, W] -> gates of the same shapes: equations 6 to 8."""
        height, width = rows.shape[2], columns.shape[3]
        both = torch.cat((rows, columns.transpose(2, 3)), 2).to(self.conv1.weight.dtype)
        both = nn.functional.hardswish(apply_batch_norm(self.bn1, self.conv1(both)))
        rows, columns = both.split((height, width), 2)  # [B, m, H, 1], [B, m, W, 1]
        return self.conv_h(rows).sigmoid(), self.conv_w(columns.transpose(2, 3)).sigmoid()
