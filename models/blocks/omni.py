"""ODConv2d: a convolution whose kernel is made for each image.

Li, Zhou and Yao, "Omni-Dimensional Dynamic Convolution", ICLR 2022. Attribute names are parts of
state-dict keys.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._numerics import apply_batch_norm
from models.common import Conv, autopad


class _Attentions(nn.Module):
    """Weights of input channels, output channels, places in the kernel, and kernels."""

    def __init__(self, inputs: int, outputs: int, taps: int, kernels: int) -> None:
        super().__init__()
        hidden = max(inputs // 16, 16)
        self.fc = nn.Conv2d(inputs, hidden, 1, bias=False)
        self.bn = nn.BatchNorm2d(hidden)
        self.channel_fc = nn.Conv2d(hidden, inputs, 1)
        self.filter_fc = nn.Conv2d(hidden, outputs, 1)
        self.spatial_fc = nn.Conv2d(hidden, taps, 1) if taps > 1 else None
        self.kernel_fc = nn.Conv2d(hidden, kernels, 1) if kernels > 1 else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[B, inputs, H, W] -> [B, inputs, 1, 1], [B, outputs, 1, 1], [B, taps], [B, kernels]."""
        z = apply_batch_norm(self.bn, self.fc(x.mean((2, 3), keepdim=True))).relu()
        one = z.new_ones(1, 1)
        taps = one if self.spatial_fc is None else self.spatial_fc(z).flatten(1).sigmoid()
        share = one if self.kernel_fc is None else self.kernel_fc(z).flatten(1).softmax(1)
        return self.channel_fc(z).sigmoid(), self.filter_fc(z).sigmoid(), taps, share


class ODConv2d(nn.Module):
    """A sum of several kernels, weighted along all four dimensions, convolves each image.

    With the weights a of an image, the output is a_f * conv(a_c * x, sum over i of a_i a_s W_i):
    those of input channels, output channels and places are shared by the kernels, as in the
    authors' code.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the kernels.
        stride: of the convolution.
        padding: None for the one that keeps the size at stride 1.
        dilation: of the kernels.
        groups: of channels.
        kernels: how many there are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        kernels: int = 4,
    ) -> None:
        super().__init__()
        around = autopad(kernel, padding, dilation)
        self.steps: dict[str, Any] = {"stride": stride, "padding": around, "dilation": dilation}
        self.groups = groups
        self.attention = _Attentions(inputs, outputs, kernel**2, kernels)
        parts = [nn.Conv2d(inputs, outputs, kernel, groups=groups).weight for _ in range(kernels)]
        self.weight = nn.Parameter(torch.stack([part.detach() for part in parts]))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        channel, filters, taps, share = self.attention(x)
        side, batch = self.weight.shape[4], x.shape[0]
        taps = taps.reshape(-1, 1, 1, *(2 * [side if self.attention.spatial_fc else 1]))
        kernels = torch.einsum("bk,koiyx->boiyx", share, self.weight) * taps
        kernels = kernels.expand(batch, -1, -1, -1, -1).flatten(0, 1)
        # All images at once: each is a group of channels.
        images = (x * channel).reshape(1, -1, *x.shape[2:])
        out = F.conv2d(images, kernels, groups=batch * self.groups, **self.steps)
        return out.reshape(batch, -1, *out.shape[2:]) * filters


class ODConv(Conv):
    """A Conv, with norm and activation, whose convolution is an ODConv2d."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        self.conv = ODConv2d(inputs, outputs, kernel, stride)  # type: ignore[assignment]

    def fuse(self) -> None:
        """Leave the batch norm where it is: the kernel depends on the image."""
