"""Polarized self-attention: a gate per channel and a gate per position, each from a sum over the
other that attention weighs.

Liu, Liu, Fan and Deng, "Polarized Self-Attention: Towards High-quality Pixel-wise Regression",
Neurocomputing 506, 2022, https://arxiv.org/abs/2107.00782, equations 1 to 4. With W 1x1
convolutions, to one channel for the queries of the channel gate and to C / 2 channels otherwise,
and p over positions,

    channel gate   = sigmoid(F(sum over p of softmax_p(W_q x)_p (W_v x)_p)),  F to C channels
    position gate  = sigmoid(sum over the C / 2 channels of softmax(mean of W_q x) (W_v x)_p)
    sequential: y = x * channel gate, out = y * position gate of y
    parallel:   out = x * channel gate + x * position gate

The position gate is here as in the paper. The authors' code takes the softmax elsewhere: of W_v x
over positions, for each channel (sequential), or of the sum over positions (parallel), where the
gate is almost 0.5 everywhere. The code's form is the default, since its weights are in use; the
paper's has the names and layers of YOLO's public code.

Choices: F of the code is two convolutions with layer norm and ReLU between them (sequential) or one
convolution (parallel), that of the copies one convolution and layer norm. Layer norm of one hidden
value is a constant, so that there are 4 below 16 channels. In the copies, ch_wq.bias has no
gradient. This is neither PSA of YOLOv10 nor that of EPSANet.

Sums over positions are taken of x before W, which is linear, so that only W_v of the code's
sequential form is computed for the whole map.

[B, C, H, W] -> [B, C, H, W]. Cost: 1.6875 C^2 + 2.375 C parameters, 111,200 at 256 channels; 2 C^2
+ C in parallel.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -3.57 (-9.72 to +2.58), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.gates import pool, scale
from models.attention.fast.global_context import fast_context

MODES, FORMS = ("sequential", "parallel"), ("code", "paper")
REDUCTION, FEW = 8, 4  # hidden channels: a share of all, and their number where that is 1 or 0


@register()
class PolarizedSelfAttention(nn.Module):
    """Scales channels and positions.

    Args:
        channels: of the map.
        mode: "sequential" for one gate after the other, "parallel" for the sum of both products.
        form: "code" for that of the authors' code, "paper" for that of the paper and the copies.

    Raises:
        ValueError: mode or form has another value.
    """

    tutorial_order = ("mode", "form")

    def __init__(self, channels: int, *, mode: str = "sequential", form: str = "code") -> None:
        super().__init__()
        for name, given, known in (("mode", mode, MODES), ("form", form, FORMS)):
            if given not in known:
                raise ValueError(f"{name}={given!r}: must be {' or '.join(known)}")
        self.mode, self.form = mode, form
        half, is_code = max(1, channels // 2), form == "code"
        query = nn.Conv2d(channels, 1, 1, bias=not is_code)
        value, where, what = (nn.Conv2d(channels, half, 1, bias=not is_code) for _ in range(3))
        if is_code:
            self.conv_q_right, self.conv_v_right = query, value
            self.conv_up = _raise_channels(half, channels, mode)
            self.conv_q_left, self.conv_v_left = where, what
        else:
            self.ch_wq, self.ch_wv = query, value
            self.ch_wz, self.ln = nn.Conv2d(half, channels, 1), nn.LayerNorm(channels)
            self.sp_wq, self.sp_wv = where, what

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        y = scale(x, self.channel_gate(x))
        if self.mode == "parallel":
            return y + scale(x, self.position_gate(x))
        return scale(y, self.position_gate(y))

    def channel_gate(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 1, 1]."""
        if self.form == "code":
            means = _weighted_mean(x, self.conv_q_right)
            return self.conv_up(self.conv_v_right(means)).sigmoid()
        logits = self.ch_wz(self.ch_wv(_weighted_mean(x, self.ch_wq)))
        return self.ln(logits.flatten(1))[:, :, None, None].sigmoid()

    def position_gate(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 1, H, W]."""
        if self.form == "paper":
            shares = _softmax(self.sp_wq(pool(x)), 1)
            logits = _dot(self.sp_wv, shares, x)
        elif self.mode == "parallel":
            logits = _softmax(_dot(self.conv_v_left, self.conv_q_left(pool(x)), x), 2)
        else:
            values = _softmax(self.conv_v_left(x).flatten(2), 2)  # [B, C / 2, H * W]
            logits = torch.bmm(self.conv_q_left(pool(x)).flatten(1)[:, None], values)
        return logits.sigmoid().reshape(x.shape[0], 1, *x.shape[2:])

    def extra_repr(self) -> str:
        return f"mode={self.mode}, form={self.form}"


def _raise_channels(half: int, channels: int, mode: str) -> nn.Module:
    """The F of the authors' code, [B, C / 2, 1, 1] -> [B, C, 1, 1]."""
    if mode == "parallel":
        return nn.Conv2d(half, channels, 1, bias=False)
    hidden = channels // REDUCTION if channels >= 2 * REDUCTION else FEW
    return nn.Sequential(
        nn.Conv2d(half, hidden, 1),
        nn.LayerNorm([hidden, 1, 1]),
        nn.ReLU(),
        nn.Conv2d(hidden, channels, 1),
    )


def _softmax(logits: Tensor, dim: int) -> Tensor:
    return logits.softmax(dim, dtype=wide(logits.dtype)).to(logits.dtype)


def _weighted_mean(x: Tensor, query: nn.Conv2d) -> Tensor:
    """The mean of positions by the softmax of query(x): [B, C, H, W] -> [B, C, 1, 1]."""
    if use_fast(x):
        return fast_context(x, query)
    weights = _softmax(query(x).flatten(2), 2).to(x.dtype)  # [B, 1, H * W]
    return torch.matmul(x.flatten(2), weights.transpose(1, 2))[..., None]


def _dot(conv: nn.Conv2d, shares: Tensor, x: Tensor) -> Tensor:
    """The sum of shares * conv(x) over channels, [B, n, 1, 1], [B, C, H, W] -> [B, 1, H * W].

    conv has n output channels. It is combined with the shares before it meets the map.
    """
    shares = shares.flatten(1)  # [B, n]
    logits = torch.bmm((shares @ conv.weight.flatten(1))[:, None], x.flatten(2))
    return logits if conv.bias is None else logits + (shares @ conv.bias)[:, None, None]
