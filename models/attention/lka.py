"""LKA, large kernel attention: surroundings of 23 x 23 weight every position.

Guo, Lu, Liu, Cheng and Hu, "Visual Attention Network", Computational Visual Media 9, 2023,
https://arxiv.org/abs/2202.09741, equations 1 and 2. With depthwise convolutions,

    a = conv 1x1(conv 7x7, dilation 3(conv 5x5(x)))
    out = x * a

The network wraps this: out = x + conv 1x1(LKA(GELU(conv 1x1(x)))), which is `wrapped=True` here.
[B, C, H, W] keeps its shape.

Choices: no sigmoid, as in the paper, so that this replaces x rather than scales it. All
convolutions have biases, as in the authors' code. LSK begins with convolutions of the same names,
and LSKA takes them apart into rows and columns; the deformable form is another module.

Cost: C^2 + 77 C parameters, 85,248 at 256 channels, and 2 C^2 + 2 C more if wrapped. It is bound by
arithmetic, not by memory.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -9.21 (-17.43 to -0.99), 3 seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._registry import register
from models.attention._visual import VisualAttention


@register("LargeKernelAttention", "LKAttention")
class LKA(VisualAttention):
    """Replaces each position by a product of itself and its surroundings.

    wrapped says whether 1x1 convolutions surround that and the input is added. Raises ValueError
    for a value that is not true or false.
    """

    def __init__(self, channels: int, *, wrapped: bool = False) -> None:
        super().__init__(channels, wrapped)

    def make_layers(self, channels: int) -> None:
        self.conv0 = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.conv_spatial = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def surroundings(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        return self.conv1(self.conv_spatial(self.conv0(x)))
