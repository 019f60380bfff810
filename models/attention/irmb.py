"""iRMB, inverted residual mobile block: attention in spread windows, a depthwise convolution, x + …

Zhang et al., "Rethinking Mobile Block for Efficient Attention-based Models", ICCV 2023,
https://arxiv.org/abs/2301.01146. With t = BN(x), windows of w x w positions, and heads of dim_head
channels of t,

    A = softmax(q . k / sqrt(dim_head)) in each window,    (q, k) = conv1x1(t)
    o = A act(conv1x1(t)), or with attn_pre  o = act(conv1x1(A t))
    u = o + SiLU(BN(depthwise(o)))
    out = x + conv1x1(u)

where o and u have exp_ratio C channels. [B, C, H, W] keeps its shape, unless out_channels or a
stride of the depthwise convolution changes it; then neither "x +" nor "o +" is there.

A window is spread over the map: of n x m windows, window (a, b) has every n-th row from a and every
m-th column from b. Rows and columns are filled up with zeros to a multiple of w, and these take
part as keys, with the biases of their convolutions.

Choices:

- The defaults, ReLU among them, are those of the authors' class and of its copies in YOLO. Their
  own network has attn_pre, GELU, kernels of 5 and other norms in its last stages.
- dim_head is 64 in the class, and fails unless it divides C. Here None means 64, or the largest
  divisor of C below it, with a warning.
- Both batch norms have eps 1e-6. A graph of YOLO sets 1e-3, as the copies do.
- In a list of arguments in YAML, a channel count says what the input has, as in public rows.

Cost: 2 C^2 + 2 e C^2 + 9 e C + 2 C + 2 e C parameters for exp_ratio e, 265,472 at 256 channels; w^2
products for each position and head.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.41 (-5.71 to +6.53), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.23 (-3.25 to +2.79), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: hurts, -3.89 (-7.29 to -0.50), 3 seeds.
"""

from __future__ import annotations

import warnings

import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_flag, check_odd, choose_divisor
from models.attention._numerics import apply_batch_norm, convolve_row
from models.attention._registry import register

EPSILON = 1e-6
USUAL_HEAD_CHANNELS = 64
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


class _Layer(nn.Module):
    """A 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        return self.conv(x)


class _Depthwise(nn.Module):
    """A depthwise convolution and the batch norm after it."""

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False
        )
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> the same shape, or H and W halved and rounded up."""
        return apply_batch_norm(self.norm, convolve_row(self.conv, x))


@register("IRMB")
class iRMB(nn.Module):
    """Adds attention in windows and a depthwise convolution to x.

    It warns if 64 does not divide the channels and dim_head is not given.

    Args:
        channels: C, of the map.
        out_channels: of the output; None means as many as the input has.
        exp_ratio: channels inside per channel, a number above 0.
        window: side of a window in positions.
        dim_head: channels of a head, a divisor of C; None means 64 or the largest below.
        dw_ks: side of the depthwise kernel in positions, odd.
        attn_pre: whether attention comes before the projection of the values.
        act: of the values: relu, gelu or silu.
        norm_in: whether there is the batch norm of x; without it t = x.
        attn: whether there is attention; without it this is an inverted residual.
        stride: 1, or 2 to halve the map.
        qkv_bias: whether the convolutions of queries, keys and values have biases.

    Raises:
        ValueError: an option has another value.
    """

    keeps_channels = True

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        exp_ratio: float = 1.0,
        window: int = 7,
        dim_head: int | None = None,
        dw_ks: int = 3,
        attn_pre: bool = False,
        act: str = "relu",
        norm_in: bool = True,
        attn: bool = True,
        stride: int = 1,
        qkv_bias: bool = False,
    ) -> None:
        super().__init__()
        if act not in ACTIVATIONS:
            raise ValueError(f"act={act!r}: must be {', '.join(ACTIVATIONS)}")
        if check_count("stride", stride) > 2:
            raise ValueError(f"stride={stride}: must be 1 or 2")
        width = channels if out_channels is None else check_count("out_channels", out_channels)
        if width != channels:
            self.out_channels = width
        self.adds_input = width == channels and stride == 1
        self.window = check_count("window", window, 7)
        self.attn_pre = check_flag("attn_pre", attn_pre)
        self.heads = channels // _head_channels(dim_head, channels)
        inside, bias = _inside(channels, exp_ratio, self.heads), check_flag("qkv_bias", qkv_bias)
        has_norm = check_flag("norm_in", norm_in)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON) if has_norm else None
        self.qk = _Layer(channels, 2 * channels, bias) if check_flag("attn", attn) else None
        self.v = _Layer(channels, inside, bias)
        self.act = ACTIVATIONS[act]()
        self.conv_local = _Depthwise(inside, check_odd("dw_ks", dw_ks), stride)
        self.proj = _Layer(inside, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_channels, H, W] in the type of x.

        With stride 2, H and W are halved and rounded up.
        """
        t = x if self.norm is None else apply_batch_norm(self.norm, x)
        if self.qk is None:
            o = self.act(self.v(t))
        elif self.attn_pre:
            o = self.act(self.v(self.attend(t, self.qk)))
        else:
            o = self.attend(t, self.qk)  # [B, inside, H, W]
        local = F.silu(self.conv_local(o))
        if self.adds_input:
            return x + self.proj(o + local).to(x.dtype)
        return self.proj(local).to(x.dtype)

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
    return F.linear(tokens, layer.conv.weight[:, :, 0, 0], layer.conv.bias)


def _head_channels(dim_head: int | None, channels: int) -> int:
    """Return the channels of a head. Raises ValueError unless they divide those of the map."""
    what = f"the {channels} channels"
    found = choose_divisor("dim_head", dim_head, channels, USUAL_HEAD_CHANNELS, what)
    if dim_head is None and found != USUAL_HEAD_CHANNELS:
        warnings.warn(
            f"iRMB: heads of {USUAL_HEAD_CHANNELS} channels do not divide {what}; dim_head is"
            f" {found}",
            stacklevel=3,
        )
    return found


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
