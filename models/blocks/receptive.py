"""RFAConv and RFCBAMConv: convolutions that weigh the cells of each window by attention.

Zhang, Liu, Yang, Song, Ye, Zhang and Song, "RFAConv: Innovating Spatial Attention and Standard
Convolutional Operation", arXiv 2304.03198. A grouped convolution makes k^2 features of each channel
at each window, which do not overlap with those of the next window, so that a convolution of side k
and stride k over them reads each once. As in models/common.py, attribute names are parts of
state-dict keys.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention.se import SE
from models.common import Conv


def _check(kernel: object) -> None:
    if not isinstance(kernel, int) or isinstance(kernel, bool) or kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel {kernel!r}: must be an odd number")


def _features(inputs: int, kernel: int, stride: int) -> nn.Sequential:
    """The features of each window, [B, inputs, H, W] -> [B, inputs * kernel^2, H/s, W/s]."""
    many = inputs * kernel**2
    conv = nn.Conv2d(inputs, many, kernel, stride, kernel // 2, groups=inputs, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(many), nn.ReLU())


def _read_windows(layer: Conv, windows: Tensor) -> Tensor:
    """A convolution with side and stride k of windows that are laid out as channels.

    [B, C * k^2, H, W] -> [B, outputs, H, W]: the same values as from the map of [B, C, k H, k W],
    which need not be written.
    """
    conv, norm = layer.conv, layer.bn
    out = F.conv2d(windows, conv.weight.flatten(1)[..., None, None], conv.bias)
    return layer.act(out if norm is None else norm(out))  # none in a fused network


class RFAConv(nn.Module):
    """A convolution whose windows have weights: a softmax of their cells' pooled values.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the windows, odd.
        stride: of the windows.

    Raises:
        ValueError: kernel is not odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        _check(kernel)
        self.taps = kernel**2
        self.get_weight = nn.Sequential(
            nn.AvgPool2d(kernel, stride, kernel // 2),
            nn.Conv2d(inputs, inputs * self.taps, 1, groups=inputs, bias=False),
        )
        self.generate_feature = _features(inputs, kernel, stride)
        self.conv = Conv(inputs, outputs, kernel, kernel, 0)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        logits = self.get_weight(x).unflatten(1, (-1, self.taps))
        weights = logits.softmax(2).flatten(1, 2)
        return _read_windows(self.conv, self.generate_feature(x) * weights)


class RFCBAMConv(nn.Module):
    """A convolution whose windows have CBAM's two gates: of each channel and of each cell.

    The gate of channels is squeeze and excitation of the input. The gate of cells is a 3x3
    convolution of maximum and mean over the channels of the features, laid out as a map.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the windows, odd.
        stride: of the windows.

    Raises:
        ValueError: kernel is not odd.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        _check(kernel)
        self.kernel = kernel
        self.generate = _features(inputs, kernel, stride)
        self.get_weight = nn.Sequential(nn.Conv2d(2, 1, 3, padding=1, bias=False), nn.Sigmoid())
        self.se = SE(inputs)  # of which only the gate is used
        self.conv = Conv(inputs, outputs, kernel, kernel, 0)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        features = self.generate(x)
        batch, _, height, width = features.shape
        side = self.kernel
        features = features.unflatten(1, (-1, side**2))  # [B, C, k^2, H/s, W/s]
        pooled = torch.cat((features.amax(1), features.mean(1)), 1)  # [B, 2 k^2, H/s, W/s]
        gate = self.get_weight(F.pixel_shuffle(pooled, side))  # [B, 1, k H/s, k W/s]
        # Not pixel_unshuffle, which the older exporter of ONNX ties to one size of map.
        cells = gate.reshape(batch, height, side, width, side).permute(0, 2, 4, 1, 3)
        gates = cells.reshape(batch, 1, side**2, height, width)
        channel = self.se.fc(x.mean((2, 3)))[:, :, None, None, None]  # [B, C, 1, 1, 1]
        windows = features * gates * channel
        return _read_windows(self.conv, windows.flatten(1, 2))
