"""Blocks of light backbones: MobileNetV3's convolution and bottleneck, PP-LCNet's convolution.

Howard et al., ICCV 2019; Cui et al., arXiv 2109.15099. Attribute names are parts of state-dict
keys.
"""

from __future__ import annotations

from torch import Tensor, nn


class _Squeeze(nn.Module):
    """Scales each channel by a gate that is computed from the means of all channels."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Hardsigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 1, bias=False)


class HardswishConv(nn.Module):
    """`conv_bn_hswish`: a 3x3 convolution, a norm and hard swish."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.act = nn.Hardswish()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        return self.act(self.bn(self.conv(x)))


class MobileNetBlock(nn.Module):
    """`MobileNet_Block`: MobileNetV3's inverted bottleneck.

    Rows write [c2, hidden, kernel, stride, use_se, use_hs]. Only c2 is scaled by the width of the
    graph, as in the programs that have the block. Where hidden is the number of inputs, the first
    1x1 convolution is left out.

    Args:
        inputs: channels.
        outputs: channels.
        hidden: channels of the depth-wise convolution.
        kernel: its side.
        stride: of it; the input is added where it is 1 and the channels agree.
        use_se: whether squeeze and excitation follows it.
        use_hs: whether activations are hard swish, else ReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        hidden: int,
        kernel: int = 3,
        stride: int = 1,
        use_se: bool = False,
        use_hs: bool = False,
    ) -> None:
        super().__init__()
        activation = nn.Hardswish if use_hs else nn.ReLU
        gate = _Squeeze(hidden) if use_se else nn.Sequential()
        deep = [_depthwise(hidden, kernel, stride), nn.BatchNorm2d(hidden)]
        # The gate stands behind the activation where nothing expands the map, and before it else.
        if inputs == hidden:
            steps = [*deep, activation(), gate]
        else:
            start = [_pointwise(inputs, hidden), nn.BatchNorm2d(hidden), activation()]
            steps = [*start, *deep, gate, activation()]
        self.conv = nn.Sequential(*steps, _pointwise(hidden, outputs), nn.BatchNorm2d(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        y = self.conv(x)
        return x + y if self.residual else y


class DepthSepConv(nn.Module):
    """PP-LCNet's block: a depth-wise and a 1x1 convolution, each with norm and hard swish.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the depth-wise convolution.
        stride: of it.
        use_se: whether squeeze and excitation stands between the two.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, use_se: bool = False
    ) -> None:
        super().__init__()
        deep = [_depthwise(inputs, kernel, stride), nn.BatchNorm2d(inputs), nn.Hardswish()]
        gate = _Squeeze(inputs) if use_se else nn.Sequential()
        end = [_pointwise(inputs, outputs), nn.BatchNorm2d(outputs), nn.Hardswish()]
        self.conv = nn.Sequential(*deep, gate, *end)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        return self.conv(x)
