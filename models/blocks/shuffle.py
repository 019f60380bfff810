"""Light backbones before MobileNetV3: ShuffleNetV2's unit, MobileNetV2's bottleneck, their stem.

Ma et al., "ShuffleNet V2", ECCV 2018; Sandler et al., "MobileNetV2", CVPR 2018. Attribute names are
parts of state-dict keys.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _conv_norm(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    padding = kernel // 2
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def _check_stride(stride: int) -> None:
    if stride not in (1, 2):
        raise ValueError(f"stride {stride}: must be 1 or 2")


class ConvMaxPool(nn.Module):
    """`conv_bn_relu_maxpool`: a 3x3 convolution of stride 2 and a 3x3 max pool of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*_conv_norm(inputs, outputs, 3, 2), nn.ReLU())
        self.maxpool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/4, W/4]."""
        return self.maxpool(self.conv(x))


class ShuffleBlock(nn.Module):
    """`Shuffle_Block`: ShuffleNetV2's unit (figure 3, c and d).

    At stride 1, half of the channels pass the deep branch; at stride 2, all pass both branches. The
    channels of both halves of the output alternate.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        _check_stride(stride)
        half = outputs // 2
        if outputs % 2 or (stride == 1 and inputs != outputs):
            raise ValueError(
                f"{inputs} to {outputs} channels: the outputs must be even, and at stride 1 as"
                " many as the inputs"
            )
        self.stride = stride
        wide = half if stride == 1 else inputs
        side = [*_conv_norm(inputs, inputs, 3, 2, inputs), *_conv_norm(inputs, half), nn.ReLU()]
        self.branch1 = nn.Sequential(*side) if stride == 2 else nn.Sequential()
        self.branch2 = nn.Sequential(
            *_conv_norm(wide, half),
            nn.ReLU(),
            *_conv_norm(half, half, 3, stride, half),
            *_conv_norm(half, half),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        first, second = (x, x) if self.stride == 2 else x.chunk(2, dim=1)
        return torch.stack((self.branch1(first), self.branch2(second)), dim=2).flatten(1, 2)


class InvertedResidual(nn.Module):
    """MobileNetV2's bottleneck (section 3.3): 1x1, depth-wise 3x3 and 1x1 without activation.

    Args:
        inputs: channels.
        outputs: channels.
        stride: 1 or 2; the input is added where it is 1 and the channels agree.
        expand_ratio: hidden channels as a multiple of the inputs; 1 leaves out the first 1x1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, expand_ratio: float = 6) -> None:
        super().__init__()
        _check_stride(stride)
        hidden = round(inputs * expand_ratio)
        first = [] if expand_ratio == 1 else [*_conv_norm(inputs, hidden), nn.ReLU6()]
        deep = [*_conv_norm(hidden, hidden, 3, stride, hidden), nn.ReLU6()]
        self.conv = nn.Sequential(*first, *deep, *_conv_norm(hidden, outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        y = self.conv(x)
        return x + y if self.residual else y
