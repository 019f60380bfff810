"""SE: a weight for every channel, from the means of all channels through two small layers.

Hu, Shen, Albanie, Sun and Wu, "Squeeze-and-Excitation Networks", CVPR 2018,
https://arxiv.org/abs/1709.01507. Equation 2 is the squeeze, z = mean of each channel over H and W;
equation 3 the excitation, s = sigmoid(W2 relu(W1 z)) with W1: C -> C / r and W2: C / r -> C;
equation 4 the product x s. [B, C, H, W] keeps its shape.

Choices: the layers have no biases, as in the PyTorch ports from which weights in use come; the
journal version says that none is better. The Caffe models have them: `bias=True`. There is at least
one hidden channel, where C / r rounded down to 0 would give the constant gate 0.5.

Cost: 2 C (C / r) parameters, 3 map sizes of memory traffic forward and 5 to 7 backward; x alone is
kept for backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.52 (-6.68 to +5.63), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.61 (-3.63 to +2.40), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.03 (-3.80 to +3.73), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.75 (-1.44 to +2.94), 3 seeds.
- SE at inside.C3, bccd, fine-tuned from COCO, 8 epochs, inside C3, paper start: no evidence, -0.91
  (-3.63 to +1.80), 3 seeds.
"""

from __future__ import annotations

from types import MappingProxyType

from torch import Tensor, nn

from models.attention._checks import check_count, check_flag
from models.attention._registry import IGNORED, register
from models.attention.fast.gates import pool, scale


@register("SEAttention", "SELayer", "SEBlock", "SEModule", "SE_Block", "SqueezeExcite")
class SE(nn.Module):
    """Scales each channel by a gate between 0 and 1.

    Args:
        channels: C, of the map.
        reduction: there are max(1, C // reduction) hidden channels.
        bias: whether the two layers have biases.

    Raises:
        ValueError: reduction is not a whole number from 1 on, or bias is not true or false.
    """

    tutorial_order = ("reduction", "bias")
    # SEBlock's second argument chooses 1x1 convolutions for the linear layers, which is the same.
    orders_of_names = MappingProxyType({"SEBlock": ("reduction", IGNORED)})
    usual_values = (8, 16, 32)

    def __init__(self, channels: int, *, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        check_count("reduction", reduction, 16)
        check_flag("bias", bias)
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=bias),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=bias),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        z = pool(x).flatten(1)  # [B, C], equation 2
        s = self.fc(z)  # [B, C], equation 3
        return scale(x, s[:, :, None, None])  # [B, C, H, W], equation 4
