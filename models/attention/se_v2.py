"""SELayerV2, the gate of SENetV2: squeeze and excitation with four parallel hidden layers.

Narayanan, "SENetV2: Aggregated dense layer for channelwise and global representations", 2023,
https://arxiv.org/abs/2311.10807. With z the mean of each channel,

    gate = sigmoid(W [relu(W1 z), relu(W2 z), relu(W3 z), relu(W4 z)]),    out = x * gate

[B, C, H, W] keeps its shape.

Choices: there are no biases, and a reduction of 32 for each of the four layers, as in the usual
code of the layer. Each has one hidden value at least.

Cost: 8 C h parameters with h = C // reduction, 16,384 at 256 channels.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.17 (-5.98 to +6.32), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_reduction
from models.attention._registry import register
from models.attention.fast.gates import pool, scale

BRANCHES = 4


@register("SENetV2")
class SELayerV2(nn.Module):
    """Scales each channel.

    reduction: each of the four hidden layers has max(1, C // reduction) values. Raises ValueError
    unless it is a whole number from 1 up to the channels (or 32).
    """

    tutorial_order = ("reduction",)
    usual_values = (8, 16, 32)

    def __init__(self, channels: int, *, reduction: int = 32) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 32)
        hidden = max(channels // reduction, 1)
        self.fc1, self.fc2, self.fc3, self.fc4 = (
            nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.ReLU())
            for _ in range(BRANCHES)
        )
        self.fc = nn.Sequential(nn.Linear(BRANCHES * hidden, channels, bias=False), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        z = pool(x).flatten(1)  # [B, C]
        hidden = torch.cat([branch(z) for branch in (self.fc1, self.fc2, self.fc3, self.fc4)], 1)
        return scale(x, self.fc(hidden)[:, :, None, None])
