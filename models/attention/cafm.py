"""CAFMAttention, convolution and attention fusion: channels attend to channels, and a local branch.

Hu, Gao, Zhou, Dong and Du, "Hybrid Convolutional and Attention Network for Hyperspectral Image
Denoising" (HCANet), IEEE Geoscience and Remote Sensing Letters 21, 2024,
https://arxiv.org/abs/2403.10067. q, k and v are a 1x1 and a depthwise 3x3 convolution of x, in
heads of d channels. With unit vectors q' and k' over all positions and a temperature t of each
head,

    global = conv1x1(softmax(t q' k'^T) v)                       where q' k'^T is [d, d]
    local  = grouped conv3x3(shuffle(conv1x1([q, k, v])))        out = global + local

The local 1x1 convolution is the same for each of the d channels of a head: it turns the 3 x heads
values that q, k and v have there into 9. The shuffle brings the 9 together as a group, from which
the last convolution makes as many channels as there are heads.

[B, C, H, W] -> [B, C, H, W]. Cost: 4 C^2 + 109 C + 28 heads + 9 parameters, 290,281 at 256
channels.

Choices: the authors write convolutions over a third dimension of length 1; only the middle of such
a kernel counts, and is all there is here. `residual` adds x, as the paper's formula of the global
branch does and the usual class for graphs does not. There are 8 heads, or the most below that
divide the channels. Lengths of vectors are computed in float32 at least.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -8.93 (-15.08 to -2.77), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +1.40 (-1.60 to +4.41), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -10.02 (-13.52 to -6.53), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.15 (-2.00 to +2.29), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_flag, choose_divisor
from models.attention._maps import without_autocast
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast._blocks import like

USUAL_HEADS, TAPS = 8, 9


@register("CAFM")
class CAFMAttention(nn.Module):
    """Replaces each position by a mixture of its channels and one of its surroundings.

    Args:
        channels: C, of the map.
        num_heads: a divisor of the channels; None means 8, or the largest divisor below it.
        bias: whether the convolutions of q, k, v and the last of the global branch have biases.
        residual: whether x is added.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("num_heads", "bias")
    usual_values = (8, 16)

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int | None = None,
        bias: bool = False,
        residual: bool = False,
    ) -> None:
        super().__init__()
        what = f"the {channels} channels"
        heads = self.heads = choose_divisor("num_heads", num_heads, channels, USUAL_HEADS, what)
        check_flag("bias", bias)
        self.residual, depth = check_flag("residual", residual), channels // heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=bias)
        self.qkv_dwconv = nn.Conv2d(
            3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=bias
        )
        self.project_out = nn.Conv2d(channels, channels, 1, bias=bias)
        self.fc = nn.Conv2d(3 * heads, TAPS, 1)
        self.dep_conv = nn.Conv2d(TAPS * depth, channels, 3, padding=1, groups=depth)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        maps = self.qkv_dwconv(self.qkv(x))  # [B, 3 C, H, W]
        out = self.attend(maps).to(x.dtype) + self.convolve(maps).to(x.dtype)
        return x + out if self.residual else out

    def attend(self, maps: Tensor) -> Tensor:
        """The global branch: q, k and v, [B, 3 C, H, W], -> [B, C, H, W]."""
        batch, triple, height, width = maps.shape
        depth = triple // (3 * self.heads)
        q, k, v = maps.reshape(batch, 3, self.heads, depth, height * width).unbind(1)
        with without_autocast(maps):
            q, k = (F.normalize(one.to(wide(one.dtype)), dim=3) for one in (q, k))
            weights = (q @ k.transpose(2, 3) * self.temperature).softmax(3).to(v.dtype)
        mixed = (weights @ v).reshape(batch, triple // 3, height, width)
        return self.project_out(like(mixed, maps))

    def convolve(self, maps: Tensor) -> Tensor:
        """The local branch: q, k and v, [B, 3 C, H, W], -> [B, C, H, W]."""
        batch, triple, height, width = maps.shape
        depth = triple // (3 * self.heads)
        values = maps.reshape(batch, 3 * self.heads, depth * height, width)
        taps = self.fc(values).reshape(batch, TAPS, depth, height, width)
        groups = taps.transpose(1, 2).reshape(batch, depth * TAPS, height, width)
        return self.dep_conv(like(groups, maps))

    def extra_repr(self) -> str:
        return f"num_heads={self.heads}"
