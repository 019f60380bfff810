"""DeformableLKA, deformable large kernel attention: a large kernel whose taps move with the map.

Azad, Niggemeier, Huttemann, Kazerouni, Aghdam, Velichko, Bagci and Merhof, "Beyond Self-Attention:
Deformable Large Kernel Attention for Medical Image Segmentation", WACV 2024,
https://arxiv.org/abs/2309.00121. With u = gelu(conv1x1(x)),

    z = deformable depthwise conv 5 x 5 of u
    z = deformable depthwise conv 7 x 7 of z, dilation 3
    out = x + conv1x1(u * conv1x1(z))

In a deformable convolution each tap reads its place plus an offset, bilinearly, with zeros outside
the map. The offsets of all taps come from a dense convolution of its own input with a kernel of the
same size and dilation (Dai et al., "Deformable Convolutional Networks", ICCV 2017).

[B, C, H, W] -> [B, C, H, W]. Cost: 3 C^2 + 6129 C + 148 parameters, 1,765,780 at 256 channels, most
of them for offsets. torchvision's operation keeps no sampled values for backward.

Choices: offsets and samples are computed in float32 at least. Exporters get the same formula in
torch's own sampling, since ONNX has torchvision's operation only in late versions.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- DeformableLKA at neck.P5, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.04
  (-6.09 to +6.17), 3 seeds.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._maps import without_autocast
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast._blocks import like


class _Taps(nn.Module):
    """The weight of a depthwise convolution, under the name that published weights have."""

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.Conv2d(channels, channels, side, groups=channels).weight)


class _DeformConv(nn.Module):
    def __init__(self, channels: int, side: int, dilation: int = 1) -> None:
        super().__init__()
        self.dilation, self.padding = dilation, dilation * (side // 2)
        self.offset_net = nn.Conv2d(
            channels, 2 * side**2, side, padding=self.padding, dilation=dilation
        )
        self.deform_conv = _Taps(channels, side)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        offsets = self.offset_net(x)
        with without_autocast(x):
            parts = (x, offsets, self.deform_conv.weight)
            values, offsets, weight = (part.to(wide(x.dtype)) for part in parts)
            if torch.compiler.is_exporting() or torch.jit.is_tracing():
                out = sample_taps(values, offsets, weight, self.dilation)
            else:
                from torchvision.ops import deform_conv2d

                shape = {"padding": self.padding, "dilation": self.dilation}
                out = deform_conv2d(values, offsets, weight, **shape)
        return like(out.to(x.dtype), x)


def sample_taps(x: Tensor, offsets: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """A deformable depthwise convolution of stride 1 in torch's operations.

    Args:
        x: [B, C, H, W].
        offsets: [B, 2 * taps, H, W], down and across for each tap, in positions.
        weight: [C, 1, side, side].
        dilation: distance of taps without an offset.

    Returns:
        A map of the shape of x.
    """
    height, width = x.shape[2:]
    taps = weight[:, 0].flatten(1).unbind(1)  # [C] each
    side = math.isqrt(len(taps))
    total = torch.zeros_like(x)
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in (height, width))
    for tap, share in enumerate(taps):
        down, across = (dilation * (place - side // 2) for place in divmod(tap, side))
        y = rows[:, None] + down + offsets[:, 2 * tap]  # [B, H, W]
        z = columns + across + offsets[:, 2 * tap + 1]
        # From cells to the coordinates of grid_sample, -1 to 1 between the edges of the map.
        places = torch.stack(((2 * z + 1) / width - 1, (2 * y + 1) / height - 1), 3)
        near = F.grid_sample(x, places, align_corners=False)
        total = total + near * share[:, None, None]
    return total


class _LargeKernel(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = _DeformConv(channels, 5)
        self.conv_spatial = _DeformConv(channels, 7, 3)
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, u: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return u * self.conv1(self.conv_spatial(self.conv0(u)))


@register("deformable_LKA_Attention")
class DeformableLKA(nn.Module):
    """Adds to each position a product of itself and of its surroundings; there are no options."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj_1, self.proj_2 = (nn.Conv2d(channels, channels, 1) for _ in range(2))
        self.spatial_gating_unit = _LargeKernel(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        return x + self.proj_2(self.spatial_gating_unit(F.gelu(self.proj_1(x)))).to(x.dtype)
