"""SimAM: a weight for every single position, from how far it stands out of its own channel; no
parameters.

Yang, Zhang, Li and Xie, "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
Networks", ICML 2021, https://proceedings.mlr.press/v139/yang21o.html. A neuron t's minimal energy
(equation 5 there) is e = 4 (v + l) / ((t - m)^2 + 2 v + 2 l) with the mean m and variance v of its
channel. The gate is sigmoid(1 / e), and 1 / e = (t - m)^2 / (4 (v + l)) + 0.5 exactly. [B, C, H, W]
keeps its shape; values lie in 0.62 x to 1 x of the input.

The paper divides v's sum by H * W, the authors' code by H * W - 1, which trained models rest on and
which is done here; one position alone is divided by 1, since 0 / 0 has no value, and gets the
paper's limit sigmoid(0.5).

Cost: no parameters and no multiply-adds that a FLOP counter sees, but as tensor operations 15 map
sizes of memory traffic forward, 55 with backward and 4 kept for it. In eager mode on a CPU the maps
are therefore taken a few at a time through the cache, and x with two numbers a channel is kept:
with k = (H * W - 1) / (H * W) the gate is sigmoid(z^2 k / 4 + 0.5) of the batch norm z of each
single image with epsilon l k.
Verdict: no evidence on bccd in the neck of yolov5n, 30 epochs, 3 seeds:
-0.67 points of mAP50-95 (95 % interval -2.88 to +1.55).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import BLOCK, blocks, like, traced, wide
from models.attention._registry import register


@register("SimAMAttention", "simam")
class SimAM(nn.Module):
    """e_lambda: the l above, which keeps flat channels finite; 1e-4 in detectors, 0.1 in the
    paper's ImageNet runs.

    Raises ValueError for an e_lambda that is not above 0, or so large (8 and more) that it must be
    a channel count.
    """

    def __init__(self, channels: int, *, e_lambda: float = 1e-4) -> None:
        super().__init__()
        is_number = isinstance(e_lambda, (int, float)) and not isinstance(e_lambda, bool)
        if not is_number or not math.isfinite(e_lambda) or e_lambda <= 0:
            raise ValueError(f"e_lambda={e_lambda!r}: must be a number above 0, such as 1.0e-4")
        if e_lambda >= 8:
            raise ValueError(
                f"e_lambda={e_lambda!r}: looks like a channel count; write {{e_lambda: 1.0e-4}}"
            )
        self.e_lambda = float(e_lambda)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type; statistics are float32: squares overflow
        half precision.
        """
        if (
            traced(x) or x.shape[0] == 0 or x.shape[2] * x.shape[3] <= 1
        ):  # batch norm wants more than one value
            return plain(x, self.e_lambda)
        if x.device.type != "cpu":
            return _Recomputed.apply(x, self.e_lambda)
        if torch.is_grad_enabled() and x.requires_grad:
            return _Blocked.apply(x, self.e_lambda)
        return infer(x, self.e_lambda)

    def extra_repr(self) -> str:
        return f"e_lambda={self.e_lambda:g}"


def plain(x: Tensor, e_lambda: float) -> Tensor:
    """The formula as written above, which autograd and exporters understand."""
    t = x.to(wide(x.dtype))
    others = max(x.shape[2] * x.shape[3] - 1, 1)
    deviation = (t - t.mean((2, 3), keepdim=True)).square()
    variance = deviation.sum((2, 3), keepdim=True) / others
    inverse_energy = deviation * (0.25 / (variance + e_lambda)) + 0.5
    return x * inverse_energy.sigmoid().to(x.dtype)


def infer(x: Tensor, e_lambda: float) -> Tensor:
    """The formula without gradients on a CPU: in place, over blocks that stay in its cache.

    Only for large channels-last maps is batch norm quicker than sums over height and width.
    """
    x = like(x, x)
    if x.numel() > BLOCK and not x.is_contiguous():
        return _Blocked.apply(x, e_lambda)
    out = torch.empty_like(x)
    others = x.shape[2] * x.shape[3] - 1
    for a, o in zip(*([y] if y.numel() <= BLOCK else blocks(y) for y in (x, out)), strict=True):
        t = a.to(wide(x.dtype))
        gate = (t - t.mean((2, 3), keepdim=True)).square_()
        variance = gate.sum((2, 3), keepdim=True).div_(others)
        gate.mul_(0.25 / variance.add_(e_lambda)).add_(0.5).sigmoid_()
        torch.mul(t, gate, out=o) if o.dtype == t.dtype else o.copy_(gate.mul_(t))
    return out


class _Recomputed(torch.autograd.Function):
    """The plain formula, computed again for backward, so that only x is kept: for devices that
    loops would slow.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, e_lambda: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.e_lambda = e_lambda
        return plain(x, e_lambda)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            out = plain(x, ctx.e_lambda)
        return torch.autograd.grad(out, x, g)[0], None


class _Blocked(torch.autograd.Function):
    """The formula by way of batch norm, over blocks of whole maps that stay in a CPU's cache."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, e_lambda: float) -> Tensor:
        x = like(x, x)
        out, moments = torch.empty_like(x), []
        factor, epsilon = constants(x, e_lambda)
        for a, o in zip(blocks(x), blocks(out), strict=True):
            t = a.to(factor.dtype)
            weight = factor.repeat(a.shape[1])
            z, *moment = torch.native_batch_norm(t, weight, None, None, None, True, 0.0, epsilon)
            torch.mul(t, gate_(z), out=o) if o.dtype == t.dtype else o.copy_(gate_(z).mul_(t))
            moments += moment
        ctx.save_for_backward(x, torch.cat(moments))
        ctx.e_lambda = e_lambda
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        """With s the gate: grad = g s + batch norm's backward of g x s (1 - s) 2 z."""
        x, moments = ctx.saved_tensors
        out = torch.empty_like(x)
        factor, epsilon = constants(x, ctx.e_lambda)
        first = 0
        for a, b, o in zip(blocks(x), blocks(like(g, x)), blocks(out), strict=True):
            t, b = a.to(factor.dtype), b.to(factor.dtype)
            count = a.shape[1]
            mean, rstd = moments[first : first + 2 * count].split(count)
            first += 2 * count
            weight = factor.repeat(count)
            slope = (rstd * factor).view(1, -1, 1, 1)
            z = torch.addcmul(-mean.view(1, -1, 1, 1) * slope, t, slope)
            s = gate_(z.clone())
            steep = torch.ops.aten.sigmoid_backward(b * t, s).mul_(z)
            through = torch.ops.aten.native_batch_norm_backward(
                steep, t, weight, None, None, mean, rstd, True, epsilon, [True, False, False]
            )[0]
            direct = s.mul_(b)
            (
                torch.add(direct, through, alpha=2, out=o)
                if o.dtype == t.dtype
                else o.copy_(direct.add_(through, alpha=2))
            )
        return out, None


def gate_(z: Tensor) -> Tensor:
    """sigmoid(z^2 + 0.5), in place."""
    return torch.addcmul(z.new_full((), 0.5), z, z, out=z).sigmoid_()


def constants(x: Tensor, e_lambda: float) -> tuple[Tensor, float]:
    """[1] factor of a batch norm and its epsilon, with which its square is the plain formula's
    exponent less 0.5.
    """
    count = x.shape[2] * x.shape[3]
    part = max(count - 1, 1) / count
    return (
        torch.full((1,), math.sqrt(part) / 2, dtype=wide(x.dtype), device=x.device),
        e_lambda * part,
    )
