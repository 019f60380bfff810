"""MLLAttention: linear attention with rotated queries and keys, as MLLA uses it in place of Mamba.

Han, Wang, Xia, Han, Pu, Ge, Song, Song, Zheng and Huang, "Demystify Mamba in Vision: A Linear
Attention Perspective", NeurIPS 2024, https://arxiv.org/abs/2405.16605. With q and k a linear layer
of x and elu + 1, in heads, M positions, v = x and R the rotation of a position,

    out_i = R_i q_i . (mean over j of R_j k_j v_j^T) / (q_i . mean over j of k_j + 1e-6) + lepe(v)_i

where lepe is a depthwise 3x3 convolution. R turns each pair of channels 2 n and 2 n + 1 by an angle
(Su et al., RoFormer): n theta steps of the row for the first half of the channels, of the column
for the second, with theta_m = 10000^(-m / (C / 4)) for pair m of a half.

[B, C, H, W] -> [B, C, H, W]. Cost: 2 C^2 + 12 C parameters, 134,144 at 256 channels. Time grows
with the number of positions, not with its square.

Choices: 4 heads, or the most below that divide the channels. The angles go by the map's rows and
columns, so that any size fits, where the authors' class is built for one. Sums over positions are
in float32 at least.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -13.70 (-19.79 to -7.60), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_flag, choose_divisor
from models.attention._maps import apply_at_positions, without_autocast
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast._blocks import like

USUAL_HEADS, BASE, TINY = 4, 10_000.0, 1e-6


@register()
class MLLAttention(nn.Module):
    """Replaces each position by a mixture of all, weighted by a product of query and key.

    Args:
        channels: C, of the map, a multiple of 4.
        num_heads: a divisor of the channels; None means 4, or the largest divisor below it.
        qkv_bias: whether the linear layer has a bias.

    Raises:
        ValueError: An option has another value, or 4 does not divide the channels.
    """

    tutorial_order = ("num_heads", "qkv_bias")
    usual_values = (8, 16)

    def __init__(
        self, channels: int, *, num_heads: int | None = None, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(
                f"the {channels} channels are no multiple of 4, two pairs for rotation"
            )
        what = f"the {channels} channels"
        self.heads = choose_divisor("num_heads", num_heads, channels, USUAL_HEADS, what)
        self.qk = nn.Linear(channels, 2 * channels, check_flag("qkv_bias", qkv_bias))
        self.lepe = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        qk = apply_at_positions(self.qk, x)
        with without_autocast(x):
            q, k = (F.elu(qk.to(wide(x.dtype))) + 1).chunk(2, 1)
            out = self.attend(q, k, x.to(q.dtype))
        return like(out.to(x.dtype), x) + self.lepe(x).to(x.dtype)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Positive queries and keys, and values, [B, C, H, W] each, -> [B, C, H, W]."""
        angles = turns(q)
        keys, values = self.split(rotate(k, angles)), self.split(v)
        gathered = keys @ values.transpose(2, 3) / values.shape[3]  # [B, heads, d, d]
        out = gathered.transpose(2, 3) @ self.split(rotate(q, angles))  # [B, heads, d, H * W]
        mean = self.split(k).mean(3, keepdim=True)  # [B, heads, d, 1]
        sums = mean.transpose(2, 3) @ self.split(q) + TINY  # [B, heads, 1, H * W]
        return (out / sums).reshape(v.shape)

    def split(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, heads, d, H * W]."""
        batch, channels, height, width = maps.shape
        return maps.reshape(batch, self.heads, channels // self.heads, height * width)

    def extra_repr(self) -> str:
        return f"num_heads={self.heads}"


def turns(x: Tensor) -> Tensor:
    """Angles of the pairs of channels at each position of x, [B, C, H, W] -> [C / 2, H, W]."""
    _, channels, height, width = x.shape
    steps = torch.arange(channels // 4, dtype=x.dtype, device=x.device) / (channels // 4)
    theta = (BASE**-steps)[:, None, None]
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in (height, width))
    down, across = theta * rows[:, None], theta * columns
    return torch.cat((down.expand(-1, -1, width), across.expand(-1, height, -1)))


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair of channels of x, [B, C, H, W], by angles, [C / 2, H, W]."""
    one, other = x.unflatten(1, (-1, 2)).unbind(2)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack((one * cosine - other * sine, one * sine + other * cosine), 2).flatten(1, 2)
