"""BiLevelRoutingAttention: each window of a map attends to the few windows that match it best.

Zhu, Wang, Ke, Zhang and Lau, "BiFormer: Vision Transformer with Bi-Level Routing Attention", CVPR
2023, https://arxiv.org/abs/2303.08810, equations 3 to 8. q, k and v are linear at each position.
The map is cut into n_win x n_win windows of equal size, and

    routing: window i keeps the topk windows j with the largest (mean of q in i) . (mean of k in j)
    out = wo(attention + depthwise convolution of v)

where the attention, in heads, of a position of window i is over all positions of the windows that i
keeps, with logits q . k / sqrt(C). A window attends to itself only if it keeps itself.

[B, C, H, W] -> [B, C, H, W]. Cost: 4 C^2 + 4 C + (side_dwconv^2 + 1) C parameters, 265,728 at 256;
with M positions, topk M^2 / n_win^2 products of C values each, twice.

Choices: logits are divided by the root of all channels, not of a head's, as in the authors' code. A
map whose sides n_win does not divide is padded with zeros on the right and at the bottom before the
projection, so that the padding carries the layers' biases and counts in means, as in the code with
auto_pad; that of the authors' second form (nchw) differs for such maps and is the same for all
others. The routing has no gradient. It is computed in float32 from means of x, which gives the
means of q and k since these are linear, and so it does not depend on the precision of the rest. The
windows are a number, not a size: they grow with the map.

The keys and values of the windows are gathered once, as rows, and attended to by PyTorch's own
attention, which keeps no logits.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -12.92 (-19.07 to -6.77), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +0.05 (-2.94 to +3.03), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -8.27 (-11.74 to -4.80), 3 seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_flag, check_odd, choose_divisor
from models.attention._maps import apply_at_positions, without_autocast
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import traced
from models.attention.fast._blocks import like

USUAL_HEADS = 8
# From here on a first number in YAML declares channels: no map is cut into that many windows.
FEWEST_CHANNELS = 16


@register(
    "BRA",
    "BiFormer",
    "Biformer",
    "BiLevelRoutingAttention_nchw",
    "nchwBRA",
)
class BiLevelRoutingAttention(nn.Module):
    """Replaces each position by a mixture of positions in the windows that match its own.

    It warns where a map has fewer rows or columns than windows.

    Args:
        channels: C, of the map.
        num_heads: a divisor of the channels; None means 8, or the largest divisor below it.
        n_win: number of windows along each side.
        topk: number of windows that each window attends to, up to n_win * n_win.
        side_dwconv: side in positions of the depthwise convolution, odd.
        auto_pad: whether to pad maps whose sides n_win does not divide; they raise ValueError
            otherwise.

    Raises:
        ValueError: An option has another value.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int | None = None,
        n_win: int = 7,
        topk: int = 4,
        side_dwconv: int = 3,
        auto_pad: bool = True,
    ) -> None:
        super().__init__()
        what = f"the {channels} channels"
        self.heads = choose_divisor("num_heads", num_heads, channels, USUAL_HEADS, what)
        self.n_win = check_count("n_win", n_win, 7)
        self.topk = check_count("topk", topk, 4)
        if topk > n_win * n_win:
            raise ValueError(f"topk={topk}: must be at most {n_win * n_win}, the number of windows")
        self.auto_pad = check_flag("auto_pad", auto_pad)
        side = check_odd("side_dwconv", side_dwconv)
        self.lepe = nn.Conv2d(channels, channels, side, padding=side // 2, groups=channels)
        self.qkv = nn.ModuleDict({"qkv": nn.Linear(channels, 3 * channels)})
        self.wo = nn.Linear(channels, channels)

    @classmethod
    def from_list(
        cls, values: list[object], channels: int, scaled: Callable[[int], int]
    ) -> dict[str, object]:
        """Read a YAML list: `[]`, `[C]`, `[n_win, num_heads, topk]` or `[C, n_win, num_heads]`.

        The copies for YOLO have n_win first, the authors have num_heads first. The second order is
        taken where the first one is impossible.

        Args:
            values: the list in the row; a first number from 16 on declares channels.
            channels: of the incoming map.
            scaled: from a channel count in YAML to the one at the graph's width.

        Returns:
            Keyword arguments of the class.

        Raises:
            ValueError: the list has more values.
        """
        rest = list(values)
        while rest and isinstance(rest[0], int) and rest[0] >= FEWEST_CHANNELS:
            rest = rest[1:]
        if len(rest) > 3:
            raise ValueError("takes at most 3 options (n_win, num_heads, topk) after the channels")
        if len(rest) > 1 and isinstance(rest[1], int) and rest[1] > 0 and channels % rest[1]:
            rest[:2] = rest[1], rest[0]
        return dict(zip(("n_win", "num_heads", "topk"), rest, strict=False))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        height, width = x.shape[2:]
        padded = self.pad(x)
        q, k, v = apply_at_positions(self.qkv["qkv"], padded).chunk(3, 1)  # type: ignore[arg-type]
        windows = (self.cut(q), self.cut(k), self.cut(v))
        out = self.attend(*windows, self.route(padded))
        out = (self.join(out, padded) + self.lepe(v))[:, :, :height, :width]
        return apply_at_positions(self.wo, like(out, x)).to(x.dtype)

    def pad(self, x: Tensor) -> Tensor:
        """Add zeros on the right and at the bottom, until n_win divides both sides of the map."""
        n, (height, width) = self.n_win, x.shape[2:]
        down, right = (n - height % n) % n, (n - width % n) % n
        if traced(x):
            return F.pad(x, (0, right, 0, down))
        if not self.auto_pad and (down or right):
            raise ValueError(
                f"auto_pad=False: n_win={n} must divide the sides of a map of {height}x{width}"
            )
        if min(height, width) < n and x.device.type != "meta":
            warnings.warn(
                f"BiLevelRoutingAttention: most of the {n}x{n} windows of a map of {height}x{width}"
                f" hold padding only; write {{n_win: {max(min(height, width) // 2, 1)}}}",
                stacklevel=2,
            )
        return F.pad(x, (0, right, 0, down)) if down or right else x

    def route(self, x: Tensor) -> Tensor:
        """x, [B, C, H, W] with its padding, -> numbers of the kept windows, [B, n_win^2, topk]."""
        n, (batch, channels, height, width) = self.n_win, x.shape
        layer = self.qkv["qkv"]
        with without_autocast(x):
            windows = x.reshape(batch, channels, n, height // n, n, width // n)
            means = windows.mean((3, 5), dtype=wide(x.dtype)).flatten(2).transpose(1, 2)
            weight, bias = (one[: 2 * channels].to(means.dtype) for one in layer.parameters())
            q, k = F.linear(means, weight, bias).chunk(2, 2)  # [B, n_win^2, C] each
            return (q @ k.transpose(1, 2)).topk(self.topk, 2).indices

    def cut(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B * heads, n_win^2, P, d]: windows of P positions with d channels."""
        n, (batch, channels, height, width) = self.n_win, maps.shape
        sizes = (batch, self.heads, channels // self.heads, n, height // n, n, width // n)
        tokens = maps.reshape(sizes).permute(0, 1, 3, 5, 4, 6, 2)  # [B, heads, n, n, a, b, d]
        return tokens.reshape(batch * self.heads, n * n, -1, channels // self.heads)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, kept: Tensor) -> Tensor:
        """q, k and v, [B * heads, n_win^2, P, d] each, -> the attention, of the same shape.

        kept: numbers of the windows whose k and v each window sees, [B, n_win^2, topk].
        """
        groups, windows, _, share = q.shape
        first = torch.arange(groups, device=q.device).reshape(-1, self.heads, 1, 1) * windows
        rows = (kept[:, None] + first).flatten()  # of groups and windows together
        k, v = (
            one.reshape(groups * windows, -1)
            .index_select(0, rows)
            .reshape(groups, windows, -1, share)
            for one in (k, v)
        )
        scale = (self.heads * share) ** -0.5
        return F.scaled_dot_product_attention(q, k, v, scale=scale)

    def join(self, tokens: Tensor, x: Tensor) -> Tensor:
        """[B * heads, n_win^2, P, d] -> [B, C, H, W], the shape of x: the inverse of cut."""
        n, (batch, channels, height, width) = self.n_win, x.shape
        sizes = (batch, self.heads, n, n, height // n, width // n, channels // self.heads)
        return tokens.reshape(sizes).permute(0, 1, 6, 2, 4, 3, 5).reshape(x.shape)

    def extra_repr(self) -> str:
        return f"num_heads={self.heads}, n_win={self.n_win}, topk={self.topk}"
