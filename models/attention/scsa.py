"""SCSA, spatial and channel synergistic attention: gates of rows and columns, then of channels.

Si, Xu, Zhu, Zhang, Dong, Chen and Li, "SCSA: Exploring the Synergistic Effects Between Spatial and
Channel Attention", Neurocomputing 634, 2025, https://arxiv.org/abs/2407.05128. First the channels
form four groups, each with a depthwise convolution along one dimension, of 3, 5, 7 and 9 taps,

    rows    = sigmoid(group norm(convolutions of the means over W))    [B, C, H]
    columns = sigmoid(group norm(convolutions of the means over H))    [B, C, W]
    y = x * rows * columns

where both directions share the convolutions and have norms of their own, of the same four groups.
Then, with p the means of y over windows of 7 x 7, normalised over a whole image, and q, k and v
each p times one weight a channel, channels attend to channels in heads of d channels:

    gate = sigmoid(mean over windows of softmax(q k^T / sqrt(d)) v),    out = y * gate

[B, C, H, W] keeps its shape.

Choices: 8 heads as in the authors' code, or the most below that divide the channels; the paper's
formula has one. Windows do not overlap, and rows and columns that fill no window are not read. A
side below that of a window is one window, where the authors' code raises an error.

Cost: 16 C parameters, 4,096 at 256 channels.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -10.88 (-17.73 to -4.03), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.95 (-3.97 to +2.08), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -4.40 (-7.79 to -1.01), 3 seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.attention._checks import check_count, check_odd, choose_divisor
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast.gates import scale

USUAL_HEADS, GROUPS = 8, 4


@register()
class SCSA(nn.Module):
    """Scales rows and columns of each channel, then each channel.

    Args:
        channels: C, of the map, a multiple of 4.
        head_num: a divisor of the channels; None means 8, or the largest divisor below it.
        window_size: side of the windows in positions.
        group_kernel_sizes: taps of the four convolutions, odd.

    Raises:
        ValueError: An option has another value, or 4 does not divide the channels.
    """

    tutorial_order = ("head_num", "window_size", "group_kernel_sizes")
    usual_values = (8, 16)

    def __init__(
        self,
        channels: int,
        *,
        head_num: int | None = None,
        window_size: int = 7,
        group_kernel_sizes: Sequence[int] = (3, 5, 7, 9),
    ) -> None:
        super().__init__()
        what = f"the {channels} channels"
        self.heads = choose_divisor("head_num", head_num, channels, USUAL_HEADS, what)
        self.window = check_count("window_size", window_size, 7)
        members = channels // choose_divisor("4 groups", GROUPS, channels, GROUPS, what)
        taps = check_taps("group_kernel_sizes", group_kernel_sizes)
        self.local_dwc, self.global_dwc_s, self.global_dwc_m, self.global_dwc_l = (
            nn.Conv1d(members, members, side, padding=side // 2, groups=members) for side in taps
        )
        self.norm_h, self.norm_w = (nn.GroupNorm(GROUPS, channels) for _ in range(2))
        self.norm = nn.GroupNorm(1, channels)
        self.q, self.k, self.v = (
            nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        means = (x.mean(dim, dtype=wide(x.dtype)).to(x.dtype) for dim in (3, 2))
        along_rows, along_columns = (self.convolve(mean) for mean in means)
        rows = self.norm_h(along_rows).sigmoid()[..., None]  # [B, C, H, 1]
        columns = self.norm_w(along_columns).sigmoid()[:, :, None]  # [B, C, 1, W]
        y = scale(scale(x, rows), columns)
        return scale(y, self.channel_gate(y))

    def convolve(self, means: Tensor) -> Tensor:
        """The convolution of each group: [B, C, N] -> [B, C, N]."""
        layers = (self.local_dwc, self.global_dwc_s, self.global_dwc_m, self.global_dwc_l)
        parts = zip(layers, means.chunk(GROUPS, 1), strict=True)
        return torch.cat([layer(part) for layer, part in parts], 1)

    def channel_gate(self, y: Tensor) -> Tensor:
        """[B, C, H, W] -> gate [B, C, 1, 1]."""
        down, across = (window_weights(length, self.window, y) for length in y.shape[2:])
        windows = self.norm(down @ y @ across.T)
        batch, depth = y.shape[0], y.shape[1] // self.heads
        q, k, v = (
            layer(windows).reshape(batch, self.heads, depth, -1)  # [B, heads, d, windows]
            for layer in (self.q, self.k, self.v)
        )
        logits = q @ k.transpose(2, 3) * depth**-0.5
        weights = logits.softmax(3, dtype=wide(logits.dtype)).to(v.dtype)
        # The mean over windows is linear, so it comes before the product.
        return (weights @ v.mean(3, keepdim=True)).flatten(1, 2)[..., None].sigmoid()

    def extra_repr(self) -> str:
        return f"head_num={self.heads}, window_size={self.window}"


def window_weights(length: int, side: int, like: Tensor) -> Tensor:
    """Return the weights of means over windows, [windows, length]; a matrix can be exported for
    maps of any size.

    Args:
        length: number of positions, which a tracer gives as a tensor.
        side: of the windows; what remains at the end is left out, unless it is all there is.
        like: gives device and type.

    Returns:
        Weights whose rows sum to 1.
    """
    full = length // side
    first = side * torch.arange(full + 1 // (full + 1), device=like.device)[:, None]
    positions = torch.arange(length, device=like.device)
    inside = ((positions >= first) & (positions < first + side)).to(like.dtype)
    return inside / inside.sum(1, keepdim=True)


def check_taps(name: str, value: object) -> Sequence[int]:
    """Return four odd numbers of taps. Raises ValueError for anything else."""
    if not isinstance(value, (list, tuple)) or len(value) != GROUPS:
        raise ValueError(f"{name}={value!r}: must be {GROUPS} odd numbers, such as [3, 5, 7, 9]")
    return [check_odd(name, side) for side in value]
