"""LocalWindowAttention: cascaded group attention within windows, where each head hears the last.

Liu, Peng, Zheng, Yang, Hu and Yuan, "EfficientViT: Memory Efficient Vision Transformer with
Cascaded Group Attention", CVPR 2023, https://arxiv.org/abs/2305.07027, equations 2 and 3. In each
window of 7 x 7 positions the channels form one part x_j for each head, of d channels:

    x'_1 = x_1,  x'_j = x_j + h_(j - 1)
    q, k, v = 1x1 convolution of x'_j,  q <- depthwise convolution of q
    h_j = softmax(q k^T / sqrt(key_dim) + b) v
    out = 1x1 convolution of relu([h_1 ... h_n])

where a batch norm follows each convolution, and b is a learned value for each head and distance,
down and across.

[B, C, H, W] -> [B, C, H, W]. Cost: 2 C^2 with d = C / heads = key_dim, less for smaller keys, and
small terms. Time grows with the number of positions.

Choices: values have d channels, as the sum of the cascade requires; public classes have a ratio for
it, which a YAML list may give and must mean the same. Maps that windows do not fill are padded with
zeros below and on the right, small ones too. There are 4 heads, or the most below that divide the
channels. The weight of the last batch norm starts at 1; in the authors' network it starts at 0,
where a residual surrounds it. Autocast does not reach inside, and norms and attention are in
float32 at least: errors of each head would pass to the next.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -36.34 (-44.86 to -27.82), 3 seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_odd, choose_divisor
from models.attention._maps import without_autocast
from models.attention._numerics import apply_wide_batch_norm
from models.attention._registry import IGNORED, register
from models.attention.fast._blocks import like

USUAL_HEADS = 4


class _ConvNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, side: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.c = nn.Conv2d(inputs, outputs, side, padding=side // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, h, w] -> [N, outputs, h, w], in float32 at least."""
        return apply_wide_batch_norm(self.bn, self.c(x.to(self.c.weight.dtype)))


class _Cascade(nn.Module):
    """Cascaded group attention in windows of side x side positions."""

    def __init__(self, channels: int, key_dim: int, side: int, kernels: Sequence[int]) -> None:
        super().__init__()
        self.key_dim, self.side, heads = key_dim, side, len(kernels)
        depth = channels // heads
        self.qkvs = nn.ModuleList(_ConvNorm(depth, 2 * key_dim + depth) for _ in kernels)
        self.dws = nn.ModuleList(_ConvNorm(key_dim, key_dim, size, key_dim) for size in kernels)
        self.proj = nn.Sequential(nn.ReLU(), _ConvNorm(channels, channels))
        self.attention_biases = nn.Parameter(torch.zeros(heads, side**2))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, side, side] -> the same shape."""
        out: list[Tensor] = []
        for part, bias, qkv, dw in zip(
            x.chunk(len(self.qkvs), 1), self.biases(), self.qkvs, self.dws, strict=True
        ):
            heard = part + out[-1] if out else part
            q, k, v = qkv(heard).split((self.key_dim, self.key_dim, part.shape[1]), 1)
            out.append(self.attend(dw(q), k, v, bias))
        return self.proj(torch.cat(out, 1))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
        """Attention of a head.

        Args:
            q: [N, key_dim, side, side].
            k: as q.
            v: [N, d, side, side].
            bias: of the logits, [side^2, side^2].

        Returns:
            A map of the shape of v.
        """
        logits = q.flatten(2).transpose(1, 2) @ k.flatten(2) * self.key_dim**-0.5 + bias
        return (v.flatten(2) @ logits.softmax(2).transpose(1, 2)).reshape(v.shape)

    def biases(self) -> Tensor:
        """The bias of each head for each pair of positions, [heads, side^2, side^2]."""
        places = torch.arange(self.side, device=self.attention_biases.device)
        apart = (places[:, None] - places).abs()  # [side, side]
        numbers = self.side * apart[:, None, :, None] + apart[None, :, None, :]
        return self.attention_biases[:, numbers.reshape(self.side**2, self.side**2)]


@register()
class LocalWindowAttention(nn.Module):
    """Replaces each position by a mixture of its window.

    Args:
        channels: C, of the map.
        key_dim: channels of queries and keys of each head.
        num_heads: a divisor of the channels; None means as many as there are kernels, or 4, or the
            largest divisor below it.
        window_resolution: side of the windows in positions.
        kernels: sides of the heads' depthwise convolutions, odd; None means 5 for each.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("key_dim", "num_heads", IGNORED, IGNORED, "window_resolution", "kernels")
    usual_values = (8, 16, 32)

    def __init__(
        self,
        channels: int,
        *,
        key_dim: int = 16,
        num_heads: int | None = None,
        window_resolution: int = 7,
        kernels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if num_heads is None and isinstance(kernels, (list, tuple)):
            num_heads = len(kernels)
        what = f"the {channels} channels"
        heads = choose_divisor("num_heads", num_heads, channels, USUAL_HEADS, what)
        kernels = [5] * heads if kernels is None else kernels
        if not isinstance(kernels, (list, tuple)) or len(kernels) != heads:
            raise ValueError(f"kernels={kernels!r}: must be a list of {heads}, one for each head")
        self.side = check_count("window_resolution", window_resolution, 7)
        check_count("key_dim", key_dim, 16)
        sides = [check_odd("kernels", side) for side in kernels]
        self.attn = _Cascade(channels, key_dim, self.side, sides)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        batch, channels, height, width = x.shape
        side = self.side
        padded = F.pad(x, (0, -width % side, 0, -height % side))
        rows, columns = padded.shape[2] // side, padded.shape[3] // side
        cells = padded.reshape(batch, channels, rows, side, columns, side)
        windows = cells.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, side, side)
        with without_autocast(x):
            mixed = self.attn(windows)
        out = mixed.reshape(batch, rows, columns, channels, side, side)
        out = out.permute(0, 3, 1, 4, 2, 5).reshape(padded.shape)
        return like(out[:, :, :height, :width].to(x.dtype), x)

    def extra_repr(self) -> str:
        return f"window_resolution={self.side}"
