"""iRMB, inverted residual mobile block: attention in spread windows, a depthwise convolution, x + …

Zhang et al., "Rethinking Mobile Block for Efficient Attention-based Models", ICCV 2023,
https://arxiv.org/abs/2301.01146. With t = BN(x), windows of w x w positions, and heads of dim_head
channels of t,

    A = softmax(q . k / sqrt(dim_head)) in each window,    (q, k) = conv1x1(t)
    o = A act(conv1x1(t)), or with attn_pre  o = act(conv1x1(A t))
    u = o + SiLU(BN(depthwise(o)))
    out = x + conv1x1(u)

where o and u have exp_ratio C channels. [B, C, H, W] keeps its shape.

A window is spread over the map: of n x m windows, window (a, b) has every n-th row from a and every
m-th column from b. Rows and columns are filled up with zeros to a multiple of w, and these take
part as keys.

Choices:

- The defaults, ReLU among them, are those of the authors' class and of its copies in YOLO. Their
  own network has attn_pre, GELU, kernels of 5 and other norms in its last stages.
- dim_head is 64 in the class, and fails unless it divides C. Here None means 64, or the largest
  divisor of C below it.
- Both batch norms have eps 1e-6. A graph of YOLO sets 1e-3, as the copies do.
- As an attention module it keeps channels and size; strides and projections to other widths, which
  have no identity path, are not offered.

Cost: 2 C^2 + 2 e C^2 + 9 e C + 2 C + 2 e C parameters for exp_ratio e, 265,472 at 256 channels; w^2
products for each position and head.
Verdict: not yet measured.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_flag, check_odd, choose_divisor
from models.attention._numerics import apply_batch_norm
from models.attention._registry import register

EPSILON = 1e-6
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class _Layer(nn.Module):
    """A convolution without bias, alone or with the batch norm after it."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, depthwise: bool = False) -> None:
        super().__init__()
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs, eps=EPSILON) if depthwise else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        z = self.conv(x)
        return z if self.norm is None else apply_batch_norm(self.norm, z)


@register("IRMB")
class iRMB(nn.Module):
    """Adds attention in windows and a depthwise convolution to x.

    Args:
        channels: C, of the map.
        exp_ratio: channels inside per channel, a number above 0.
        window: side of a window in positions.
        dim_head: channels of a head, a divisor of C; None means 64 or the largest below.
        dw_ks: side of the depthwise kernel in positions, odd.
        attn_pre: whether attention comes before the projection of the values.
        act: of the values: relu, gelu or silu.
        attn: whether there is attention; without it this is an inverted residual.

    Raises:
        ValueError: an option has another value.
    """

    tutorial_order = ("exp_ratio", "window", "dim_head", "dw_ks", "attn_pre", "act", "attn")

    def __init__(
        self,
        channels: int,
        *,
        exp_ratio: float = 1.0,
        window: int = 7,
        dim_head: int | None = None,
        dw_ks: int = 3,
        attn_pre: bool = False,
        act: str = "relu",
        attn: bool = True,
    ) -> None:
        super().__init__()
        if act not in ACTIVATIONS:
            raise ValueError(f"act={act!r}: must be {', '.join(ACTIVATIONS)}")
        self.window = check_count("window", window, 7)
        self.attn_pre = check_flag("attn_pre", attn_pre)
        self.heads = channels // choose_divisor(
            "dim_head", dim_head, channels, 64, f"the {channels} channels"
        )
        inside = _inside(channels, exp_ratio, self.heads)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON)
        self.qk = _Layer(channels, 2 * channels) if check_flag("attn", attn) else None
        self.v = _Layer(channels, inside)
        self.act = ACTIVATIONS[act]()
        self.conv_local = _Layer(inside, inside, check_odd("dw_ks", dw_ks), True)
        self.proj = _Layer(inside, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        t = apply_batch_norm(self.norm, x)
        if self.qk is None:
            o = self.act(self.v(t))
        elif self.attn_pre:
            o = self.act(self.v(self.attend(t, self.qk)))
        else:
            o = self.attend(t, self.qk)  # [B, inside, H, W]
        u = o + F.silu(self.conv_local(o))
        return x + self.proj(u).to(x.dtype)

    def attend(self, t: Tensor, qk: _Layer) -> Tensor:
        """Attention in windows: [B, C, H, W] -> [B, inside, H, W], or [B, C, H, W] for attn_pre."""
        tokens = self.windows(t)  # [N, w * w, C] for N windows of all images
        values = tokens if self.attn_pre else self.act(_project(self.v, tokens))
        q, k = (self.heads_of(part) for part in _project(qk, tokens).chunk(2, 2))
        found = F.scaled_dot_product_attention(q, k, self.heads_of(values).to(q.dtype))
        return self.unwindows(found, t)

    def windows(self, maps: Tensor) -> Tensor:
        """[B, C, H, W] -> [B * windows, w * w, C], with zeros where there is no position."""
        w = self.window
        # Sizes are never taken as Python's numbers, so that an export works for every map.
        batch, channels, height, width = maps.shape
        maps = F.pad(maps, (0, -width % w, 0, -height % w))
        rows, columns = maps.shape[2] // w, maps.shape[3] // w
        spread = maps.reshape(batch, channels, w, rows, w, columns)
        return spread.permute(0, 3, 5, 2, 4, 1).reshape(-1, w * w, channels)

    def heads_of(self, tokens: Tensor) -> Tensor:
        """[N, w * w, heads * d] -> [N, heads, w * w, d], a view."""
        count, positions, width = tokens.shape
        return tokens.reshape(count, positions, self.heads, width // self.heads).transpose(1, 2)

    def unwindows(self, found: Tensor, like: Tensor) -> Tensor:
        """[B * windows, heads, w * w, d] -> [B, heads * d, H, W], with the size of like."""
        w, (batch, _, height, width) = self.window, like.shape
        rows, columns = (height + w - 1) // w, (width + w - 1) // w
        spread = found.reshape(batch, rows, columns, self.heads, w, w, found.shape[3])
        spread = spread.permute(0, 3, 6, 4, 1, 5, 2)  # B, heads, d, w, rows, w, columns
        maps = spread.reshape(batch, self.heads * found.shape[3], w * rows, w * columns)
        return maps[:, :, :height, :width]

    def extra_repr(self) -> str:
        return f"window={self.window}, heads={self.heads}, attn_pre={self.attn_pre}"


def _project(layer: _Layer, tokens: Tensor) -> Tensor:
    """A 1x1 convolution of [N, positions, inputs] -> [N, positions, outputs]."""
    return F.linear(tokens, layer.conv.weight[:, :, 0, 0])


def _inside(channels: int, exp_ratio: float, heads: int) -> int:
    """Return the channels inside. Raises ValueError unless the heads divide them."""
    known = isinstance(exp_ratio, (int, float)) and not isinstance(exp_ratio, bool)
    inside = int(channels * exp_ratio) if known else 0
    if inside < 1 or inside % heads:
        raise ValueError(
            f"exp_ratio={exp_ratio!r}: times {channels} channels must be a multiple of the {heads}"
            " heads, such as 1 or 2"
        )
    return inside
