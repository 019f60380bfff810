"""What gates begin and end with: the mean of a map, and a map times one gate or two.

SE, ECA, GlobalContext and SK use the first two, CBAM and CoordAttention the last. They compute the
same values as `x.mean` and `x * gate`, but have a cheaper backward pass: the mean's gradient is a
view and not a map of equal numbers, and the gate's gradient is summed without writing the product
of gradient and input. Training SE and ECA is 1.4 to 1.9 times as fast as with the plain operations
(two cores of an Intel Xeon, float32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.attention._numerics import wide
from models.attention.fast import use_fast
from models.attention.fast._blocks import like, split_together
from models.attention.fast._context import GradientContext


def pool(x: Tensor) -> Tensor:
    """Return the mean of each map, [B, C, H, W] -> [B, C, 1, 1].

    It is accumulated in float32 at least, and has the type of x.
    """
    # The two differ in the backward pass only.
    return _Pool.apply(x) if torch.is_grad_enabled() and use_fast(x) else _mean(x)


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True, dtype=wide(x.dtype)).to(x.dtype)


class _PoolContext(GradientContext, Protocol):
    shape: torch.Size


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _PoolContext, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _mean(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: _PoolContext, g: Tensor) -> Tensor:
        """Return a view; the backward pass of mean would write a whole map of equal numbers."""
        return (g / (ctx.shape[2] * ctx.shape[3])).expand(ctx.shape)


def scale(x: Tensor, gate: Tensor) -> Tensor:
    """Return x * gate in the type of x; only these two are kept for the backward pass.

    x is [B, C, H, W]. gate has as many dimensions, each as long as that of x or 1, and may have
    another type.
    """
    gate = gate.to(x.dtype)
    return _Scale.apply(x, gate) if torch.is_grad_enabled() and use_fast(x) else x * gate


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: GradientContext, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    @once_differentiable
    def backward(ctx: GradientContext, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, gate = ctx.saved_tensors
        grad_gate = dot(g, x, gate.shape) if ctx.needs_input_grad[1] else None
        grad_x = g * gate if ctx.needs_input_grad[0] else None
        return grad_x, grad_gate


Sum = Callable[[Tensor], Tensor]


def scale_twice(x: Tensor, first: Tensor, second: Tensor, sums: tuple[Sum, Sum]) -> Tensor:
    """Compute x * first * second; backward keeps these three and writes the one map it returns.

    Args:
        x: [B, C, H, W].
        first: in the type of x, with as many dimensions, each as long as that of x or 1.
        second: as first.
        sums: how a map is summed to the shape of first, and to that of second.

    Returns:
        A map of the shape of x.
    """
    return _ScaleTwice.apply(x, first, second, sums)


class _SumsContext(GradientContext, Protocol):
    sums: tuple[Sum, Sum]


class _ScaleTwice(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _SumsContext, x: Tensor, first: Tensor, second: Tensor, sums: tuple[Sum, Sum]
    ) -> Tensor:
        ctx.save_for_backward(x, first, second)
        ctx.sums = sums
        out = torch.empty_like(x)
        for part, one, other, result in split_together(x, first, second, out):
            torch.mul(part, one, out=result).mul_(other)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: _SumsContext, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, first, second = ctx.saved_tensors
        to_first, to_second = ctx.sums
        out, grad_first, grad_second = (torch.empty_like(each) for each in (x, first, second))
        operands = split_together(grad, x, first, second, out, grad_first, grad_second)
        for g, part, one, other, result, result_first, result_second in operands:
            # result holds g * second for the gradient of first, and then the gradient of x.
            torch.mul(g, other, out=result)
            along = result * part
            result_first.copy_(to_first(along))
            result.mul_(one)
            along = torch.mul(g, part, out=along).mul_(one)
            result_second.copy_(to_second(along))
        return out, grad_first, grad_second, None


def dot(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """Return the sum of a * b over the dimensions that are 1 in shape, without writing a * b.

    It is accumulated in float32 at least. It is meant for backward passes, so autograd cannot
    differentiate it.

    Args:
        a: [B, C, H, W], on a CPU or elsewhere.
        b: of the same shape, in any layout.
        shape: of the result; each dimension is that of a, or 1.

    Returns:
        A tensor of that shape, in the type of a.
    """
    dims = [dim for dim, size in enumerate(shape) if size == 1 and a.shape[dim] != 1]
    if not dims:
        return a * b
    # The fast ways below go image by image, so they cannot sum over the batch.
    if 0 in dims or a.device.type != "cpu" or a.numel() == 0:
        return (a * b).sum(dims, keepdim=True, dtype=wide(a.dtype)).to(a.dtype)
    a = like(a, b)
    if dims == [2, 3] and a.is_contiguous() and a.dtype == wide(a.dtype):
        return _row_sums(a.flatten(0, 1).flatten(1), b.flatten(0, 1).flatten(1)).view(shape)
    images = zip(a, b, strict=True)
    return (
        torch.stack([_image_dot(one, other, dims) for one, other in images]).view(shape).to(a.dtype)
    )


def _image_dot(a: Tensor, b: Tensor, dims: list[int]) -> Tensor:
    """Sum of a * b, both [C, H, W], over dims, which count the batch as dimension 0."""
    if dims == [2, 3]:
        return _row_sums(a.flatten(1), b.flatten(1))
    if dims == [1]:
        return _row_sums(a.flatten(1).t(), b.flatten(1).t())
    return (a * b).sum([dim - 1 for dim in dims], dtype=wide(a.dtype))


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """[N, K], [N, K] -> [N]: the sum of a * b along each row, in one pass.

    PyTorch has no such reduction, but the gradient of batch norm's weight is one: with rows as
    channels, mean 0 and deviation 1 it is this sum, fast whichever dimension is contiguous.
    """
    a, b = (part.to(wide(part.dtype))[None, :, :, None] for part in (a, b))
    mean, variance = a.new_zeros(a.shape[1]), a.new_ones(a.shape[1])
    mask = [False, True, False]
    return torch.ops.aten.native_batch_norm_backward(
        a, b, None, mean, variance, None, None, False, 0.0, mask
    )[1]
