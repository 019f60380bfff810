"""The two attentions of DANet: every position gathers from all, or every channel does.

Fu, Liu, Tian, Li, Bao, Fang and Lu, "Dual Attention Network for Scene Segmentation", CVPR 2019,
https://arxiv.org/abs/1809.02983, equations 1 to 4. With the positions of a map as columns, M of
them, and q, k, v from 1x1 convolutions to C / 8, C / 8 and C channels,

    PositionAttention: out = gamma (sum over j of softmax_j(q_i . k_j) v_j) + x_i
    ChannelAttention: out = gamma (sum over d of softmax_d(-x_c . x_d) x_d) + x_c

[B, C, H, W] keeps its shape. gamma starts at 0, so that a new module is the identity.

Choices: there is no scale in the softmax, as in the paper. The paper's equation 3 has no minus in
the softmax over channels. The authors' code has it, as max - x_c . x_d, so that unlike channels get
the large weights; published weights belong to that, and the maximum cancels. These products grow
with M, overflow float16 and need all digits, so they are computed in float32 at least, under
autocast too. key_conv.bias has no gradient: a softmax does not depend on what is added to all
scores. There is one channel in q and k at least.

ChannelAttention is also a name for the first half of CBAM, which is `CBAM: {no_spatial: true}`
here.

Cost: 1.25 C^2 + 1.25 C + 1 parameters for positions, 82,241 at 256 channels, and M^2 weights per
image, which are not kept for backward; 1 parameter for channels, and C^2 weights.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- PositionAttention, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.58 (-6.73 to
  +5.57), 3 seeds.
- ChannelAttention, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.30 (-6.44 to
  +5.84), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._numerics import wide
from models.attention._registry import register


@register("PAM_Module", "PAM")
class PositionAttention(nn.Module):
    """Adds to every position a mean of all positions, weighted by likeness. It has no options.

    The M x M weights of a map make it one for small maps.
    """

    starts_as_identity = True
    dead_parameters = ("key_conv.bias",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_conv = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.key_conv = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        q, k, v = (
            _tokens(conv(x), x.shape[1])  # [B, 1, M, C]
            for conv in (self.query_conv, self.key_conv, self.value_conv)
        )
        found = nn.functional.scaled_dot_product_attention(q, k, v, scale=1.0)
        found = found.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])  # [B, C, H, W]
        return x + (self.gamma * found).to(x.dtype)


def _tokens(maps: Tensor, width: int) -> Tensor:
    """[B, c, H, W] -> [B, 1, M, width], contiguous, with zeros as further channels.

    The fused kernels that never store M x M weights want as many channels in q and k as in v.
    Zeros change no product.
    """
    tokens = maps.flatten(2).transpose(1, 2)  # [B, M, c]
    return nn.functional.pad(tokens, (0, width - tokens.shape[2])).contiguous()[:, None]


@register("CAM_Module")
class ChannelAttention(nn.Module):
    """Adds to every channel a mean of all channels, weighted by unlikeness. It has no options."""

    starts_as_identity = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x; weights are in float32 at least."""
        pixels = x.flatten(2)  # [B, C, M]
        weights = unlikeness(pixels).softmax(2).to(x.dtype)  # [B, C, C]
        if x.stride(1) == 1:  # the transposed product is channels-last, like x
            found = (pixels.transpose(1, 2) @ weights.transpose(1, 2)).transpose(1, 2)
        else:
            found = weights @ pixels
        found = found.unflatten(2, x.shape[2:])
        return x + (self.gamma * found).to(x.dtype)


def unlikeness(pixels: Tensor) -> Tensor:
    """Negative products of all pairs of channels, [B, C, M] -> [B, C, C], in float32 at least."""
    # Autocast would round the products, whose differences decide. It does not know device meta.
    with torch.autocast("cpu" if pixels.is_meta else pixels.device.type, enabled=False):
        pixels = pixels.to(wide(pixels.dtype))
        return -(pixels @ pixels.transpose(1, 2))
