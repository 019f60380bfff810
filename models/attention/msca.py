"""MSCA, multi-scale convolutional attention: surroundings of four sizes weight every position.

Guo, Lu, Hou, Liu, Cheng and Hu, "SegNeXt: Rethinking Convolutional Attention Design for Semantic
Segmentation", NeurIPS 2022, https://arxiv.org/abs/2209.08575, equations 1 and 2. With depthwise
convolutions,

    z = conv 5x5(x)
    a = z + sum over k = 7, 11, 21 of conv k x 1(conv 1 x k(z))
    out = x * conv 1x1(a)

The network wraps this: out = x + conv 1x1(MSCA(GELU(conv 1x1(x)))), which is `wrapped=True` here.
[B, C, H, W] keeps its shape.

Choices: no sigmoid, as in the paper, so that this replaces x rather than scales it. All
convolutions have biases, as in the authors' code. A module of another author has this name and
takes a number of groups; it is refused here.

Cost: C^2 + 111 C parameters, 93,952 at 256 channels, and 2 C^2 + 2 C more if wrapped. The strips
are bound by memory traffic: 28 map sizes forward and 73 with backward, and 7 kept for backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -4.75 (-10.85 to +1.36), 3 seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._numerics import convolve_row
from models.attention._registry import register
from models.attention._visual import VisualAttention


@register("MSCAAttention", "SegNext_Attention", "SegNextAttention")
class MSCA(VisualAttention):
    """Replaces each position by a product of itself and its surroundings.

    wrapped says whether 1x1 convolutions surround that and the input is added. Raises ValueError
    for a value that is not true or false.
    """

    def __init__(self, channels: int, *, wrapped: bool = False) -> None:
        super().__init__(channels, wrapped)

    def make_layers(self, channels: int) -> None:
        self.conv0 = _depthwise(channels, 5, 5)
        self.conv0_1, self.conv0_2 = _depthwise(channels, 1, 7), _depthwise(channels, 7, 1)
        self.conv1_1, self.conv1_2 = _depthwise(channels, 1, 11), _depthwise(channels, 11, 1)
        self.conv2_1, self.conv2_2 = _depthwise(channels, 1, 21), _depthwise(channels, 21, 1)
        self.conv3 = nn.Conv2d(channels, channels, 1)

    def surroundings(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same shape."""
        z = self.conv0(x)  # [B, C, H, W], as all below
        a = z + self.conv0_2(self.conv0_1(z))
        a = a + self.conv1_2(self.conv1_1(z))
        a = a + self.conv2_2(convolve_row(self.conv2_1, z))
        return self.conv3(a)


def _depthwise(channels: int, height: int, width: int) -> nn.Conv2d:
    padding = (height // 2, width // 2)
    return nn.Conv2d(channels, channels, (height, width), padding=padding, groups=channels)
