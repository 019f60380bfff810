"""ContextAggregation: every position gets as much of one summary of the map as it asks for.

Liu, Li, Hu, Luo, Luo and Chen, "Learning to Aggregate Multi-Scale Context for Instance
Segmentation in Remote Sensing Images" (CATNet), IEEE Transactions on Neural Networks and Learning
Systems 2024, https://arxiv.org/abs/2111.11057, the context aggregation of one level. With 1x1
convolutions a and k to one channel, v to C / reduction and m back to C,

    out_i = x_i + sigmoid(a(x_i)) m(sum over j of softmax_j(k(x_j)) v(x_j))

[B, C, H, W] keeps its shape. Weights and bias of m are zero at first, as in the authors' code, so
that the module starts as the identity.

Choices: v is applied to the weighted mean of x, which gives the same as the mean of v(x), because
the weights sum to 1: two products with vectors remain of C^2 / reduction for every position.
k.conv.bias has no gradient, because a softmax does not depend on what is added to all logits. There
is no batch norm, which some copies have.

Cost: 2 C^2 / reduction + C / reduction + 3 C + 2 parameters, 132,098 at 256 channels.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +1.02 (-5.59 to +7.63), 3 seeds.
- bccd, from scratch, 30 epochs, the five best, paper start: no evidence, -0.18 (-3.31 to +2.95), 3
  seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_reduction
from models.attention._numerics import wide
from models.attention._registry import register


@register()
class ContextAggregation(nn.Module):
    """Adds a summary of the whole map to each position.

    reduction: the summary has max(1, C // reduction) channels before m. Raises ValueError unless it
    is a whole number from 1 up to the channels (or 16).
    """

    tutorial_order = ("reduction",)
    usual_values = (8, 16)
    dead_parameters = ("k.conv.bias",)
    starts_as_identity = True

    def __init__(self, channels: int, *, reduction: int = 1) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 16)
        hidden = max(channels // reduction, 1)
        self.a, self.k, self.v = (layer(channels, outputs) for outputs in (1, 1, hidden))
        self.m = layer(hidden, channels)
        for parameter in self.m.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        scores = self.k(x).flatten(2)  # [B, 1, H * W]
        weights = scores.softmax(2, dtype=wide(x.dtype)).to(x.dtype)
        summary = torch.matmul(x.flatten(2), weights.transpose(1, 2))[..., None]  # [B, C, 1, 1]
        share = self.a(x).sigmoid().to(x.dtype)  # [B, 1, H, W]
        return torch.addcmul(x, self.m(self.v(summary)).to(x.dtype), share)


def layer(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 1x1 convolution under the name that published weights have."""
    named = nn.Sequential()
    named.add_module("conv", nn.Conv2d(inputs, outputs, 1))
    return named
