"""ShuffleAttention: half the channels are scaled by their means, half by their own normalised
values, then shuffled.

Zhang and Yang, "SA-Net: Shuffle Attention for Deep Convolutional Neural Networks", ICASSP 2021,
https://arxiv.org/abs/2102.00240, equations 1 to 3. Channels form G groups of 2 m; with the
parameters of m values that all groups share (cw, cb, sw, sb, and w, b of the group norm) and xhat =
(x - mean) / sqrt(variance + 1e-5) by channel,

    first half of a group:  y = x * sigmoid(cw * mean + cb)
    second half:            y = x * sigmoid(sw * (w * xhat + b) + sb)
    out channel 2 i + j = y channel j * C / 2 + i, i below C / 2 and j 0 or 1

so that every gate is sigmoid(scale * xhat + slope * mean + shift), scale or slope being 0. cw and
sw start at 0, cb and sb at 1: at first the module is that permutation times sigmoid(1) = 0.731.

Choices: 8 groups or the most that fit (the authors' 64 need a multiple of 128 channels). The four
raw parameters are matters of gain and bias: optimisers that decay weights should leave them alone,
and must not leave them out.

Cost: 3 C / G parameters. Step by step it moves 11 map sizes forward and 31 with backward and keeps
2 for backward; here each image goes through all steps while it is in the cache, and x alone is
kept.
Verdict: not yet measured.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import runs, traced, wide
from models.attention._registry import register

GROUPS = 8


@register("SALayer", "sa_layer")
class ShuffleAttention(nn.Module):
    """groups: how many the channels are cut into; 8 or, where channels are no multiple of 16, the
    most below that fit.

    Raises ValueError for an odd number of channels, or groups that do not divide half the channels.
    """

    tutorial_order = ("groups",)

    def __init__(self, channels: int, *, groups: int | None = None) -> None:
        super().__init__()
        if channels % 2:
            raise ValueError(
                f"channels={channels}: ShuffleAttention halves them, so their number must be even"
            )
        fitting = [count for count in range(1, channels // 2 + 1) if channels // 2 % count == 0]
        if groups is None:
            groups = max(count for count in fitting if count <= GROUPS)
        if groups not in fitting or isinstance(groups, bool):
            near = ", ".join(map(str, fitting[:8]))
            raise ValueError(
                f"groups={groups!r}: must divide half of {channels} channels, such as {near}"
            )
        self.groups = int(groups)
        half = channels // (2 * self.groups)
        self.cweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.cbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.sweight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.sbias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.gn = nn.GroupNorm(half, half)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type and memory layout; the gates are computed in
        float32.
        """
        weight, bias = self.gn.weight.view_as(self.sweight), self.gn.bias.view_as(self.sweight)
        zero = torch.zeros_like(weight)
        halves = (  # scale, slope and shift of the first and the second half of a group
            (zero, self.sweight * weight),
            (self.cweight, zero),
            (self.cbias, self.sweight * bias + self.sbias),
        )
        gates = [
            torch.cat(pair, 1).to(wide(x.dtype)).repeat(1, self.groups, 1, 1) for pair in halves
        ]
        return (_plain if traced(x) else _Shuffle.apply)(x, self.gn.eps, *gates)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"


def _plain(x: Tensor, eps: float, scale: Tensor, slope: Tensor, shift: Tensor) -> Tensor:
    """x: [B, C, H, W]; scale, slope and shift: [1, C, 1, 1]."""
    full = x.to(scale.dtype)
    mean = full.mean((2, 3), keepdim=True)
    centred = full - mean
    normal = centred * (centred.square().mean((2, 3), keepdim=True) + eps).rsqrt()
    out = full * (scale * normal + slope * mean + shift).sigmoid()
    return out.unflatten(1, (2, -1)).transpose(1, 2).flatten(1, 2).to(x.dtype)


class _Shuffle(torch.autograd.Function):
    """`_plain` block by block; keeps x, and mean and 1 / deviation of each channel."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, eps: float, scale: Tensor, slope: Tensor, shift: Tensor
    ) -> Tensor:
        channels, positions = x.shape[1], x.shape[2] * x.shape[3]
        out = torch.empty_like(x)
        statistics = scale.new_empty(2, len(x), channels, 1, 1)
        for block in runs(x):
            part = x[block].to(scale.dtype)
            gate, mean, rstd = torch.native_group_norm(
                part, None, None, len(part), channels, positions, channels, eps
            )
            statistics[0, block, :, 0, 0], statistics[1, block, :, 0, 0] = mean, rstd
            gate.mul_(scale).add_(slope * statistics[0, block] + shift).sigmoid_().mul_(part)
            out[block].unflatten(1, (-1, 2)).copy_(gate.unflatten(1, (2, -1)).transpose(1, 2))
        ctx.save_for_backward(x, scale, slope, shift, statistics)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, slope, shift, statistics = ctx.saved_tensors
        of_x, positions = torch.empty_like(x), x.shape[2] * x.shape[3]
        of_gate = scale.new_zeros(3, *scale.shape)  # for each channel of scale, slope and shift
        for block in runs(x):
            part = x[block].to(scale.dtype)
            above = torch.empty_like(part)
            above.unflatten(1, (2, -1)).copy_(grad[block].unflatten(1, (-1, 2)).transpose(1, 2))
            mean, rstd = statistics[:, block]
            normal = torch.addcmul(-mean * rstd, part, rstd)
            gate = (normal * scale).add_(slope * mean + shift).sigmoid_()
            inner = torch.ops.aten.sigmoid_backward(
                part.mul(above), gate
            )  # the gradient before the sigmoid
            of_shift = inner.sum((2, 3), keepdim=True)
            of_scale = (inner * normal).sum((2, 3), keepdim=True)
            of_gate += torch.stack((of_scale, of_shift * mean, of_shift)).sum(1, keepdim=True)
            above.mul_(gate).addcmul_(inner, scale * rstd)
            above.addcmul_(normal, scale * rstd * of_scale / -positions)
            above.add_((slope - scale * rstd) * of_shift / positions)
            of_x[block] = above
        return of_x, None, *of_gate
