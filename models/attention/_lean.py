"""Lean building blocks of attention modules: less memory traffic and less kept for backward than
the plain formulas.

Hand-written backward passes only run in eager mode; whatever `traced` recognises takes the plain
formula. On a CPU a map that is written out costs more than the arithmetic on it, so intermediates
are made a block at a time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

BLOCK = (
    1 << 19
)  # values that a CPU works on at a time: 2 MiB of float32, so that intermediates stay in its cache
STEP = (
    1 << 20
)  # values of several maps at once: few enough to stay in cache, enough to keep all cores at work
CACHE = 1 << 20  # bytes of a map that goes through many steps while it is in cache


def traced(x: Tensor) -> bool:
    """Whether torch.compile, an export or a jit trace is at work, so that the plain formula must be
    used.
    """
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or type(x) not in (Tensor, nn.Parameter)
    )


def wide(dtype: torch.dtype) -> torch.dtype:
    """The type that statistics are computed in: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


def normalise(norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Apply a batch norm module; in train mode a single value per channel is normalised by the
    running statistics.

    x: [B, C, ...]. A single value has no spread of its own: batch norm would raise, or give its
    bias whatever x is.
    """
    if norm.training and x.numel() == x.shape[1]:
        return nn.functional.batch_norm(
            x,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            training=False,
            eps=norm.eps,
        )
    return norm(x)


def pool(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 1, 1]: mean over H and W, accumulated in float32 at least, in x's
    type.
    """
    return _mean(x) if traced(x) or not torch.is_grad_enabled() else _Pool.apply(x)


def _mean(x: Tensor) -> Tensor:
    return x.mean((2, 3), keepdim=True, dtype=wide(x.dtype)).to(x.dtype)


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _mean(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        """A view: the mean's own backward would write a whole map of equal numbers."""
        return (g / (ctx.shape[2] * ctx.shape[3])).expand(ctx.shape)


def scale(x: Tensor, gate: Tensor) -> Tensor:
    """x * gate in x's type, keeping only both for backward.

    x: [B, C, H, W]. gate: the same number of dimensions, each as long as x's or 1; its type may be
    another.
    """
    gate = gate.to(x.dtype)
    if traced(x) or traced(gate) or not torch.is_grad_enabled():
        return x * gate
    return _Scale.apply(x, gate)


class _Scale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, gate = ctx.saved_tensors
        grad_gate = dot(g, x, gate.shape) if ctx.needs_input_grad[1] else None
        grad_x = g * gate if ctx.needs_input_grad[0] else None
        return grad_x, grad_gate


def dot(a: Tensor, b: Tensor, shape: torch.Size) -> Tensor:
    """Sum of a * b, both [B, C, H, W], over the dimensions that are 1 in shape; no product of that
    size is written.

    Accumulated in float32 at least, in a's type. Not differentiable by autograd: for backward
    passes.
    """
    dims = [dim for dim, size in enumerate(shape) if size == 1 and a.shape[dim] != 1]
    if not dims:
        return a * b
    if 0 in dims or a.device.type != "cpu" or a.numel() == 0:
        return (a * b).sum(dims, keepdim=True, dtype=wide(a.dtype)).to(a.dtype)
    a = like(a, b)
    if dims == [2, 3] and a.is_contiguous() and a.dtype == wide(a.dtype):
        return _row_sums(a.flatten(0, 1).flatten(1), b.flatten(0, 1).flatten(1)).view(shape)
    if dims == [2, 3]:
        sums = [
            _row_sums(one.flatten(1), other.flatten(1)) for one, other in zip(a, b, strict=True)
        ]
    elif dims == [1]:
        sums = [
            _row_sums(one.flatten(1).t(), other.flatten(1).t())
            for one, other in zip(a, b, strict=True)
        ]
    else:
        inner = [dim - 1 for dim in dims]
        sums = [
            (one * other).sum(inner, dtype=wide(a.dtype)) for one, other in zip(a, b, strict=True)
        ]
    return torch.stack(sums).view(shape).to(a.dtype)


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """[N, K], [N, K] -> [N]: sum of a * b along each row, in one pass: what batch norm's weight
    gets as its gradient.

    Batch norm reads the rows as channels, with mean 0 and deviation 1 given; fast whichever side is
    contiguous.
    """
    a, b = (part.to(wide(part.dtype))[None, :, :, None] for part in (a, b))
    mean, variance = a.new_zeros(a.shape[1]), a.new_ones(a.shape[1])
    mask = [False, True, False]
    return torch.ops.aten.native_batch_norm_backward(
        a, b, None, mean, variance, None, None, False, 0.0, mask
    )[1]


def like(g: Tensor, x: Tensor) -> Tensor:
    """g in the layout of x, channels-last or contiguous; without a copy where it has it."""
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return g.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


def blocks(x: Tensor, size: int = BLOCK) -> list[Tensor]:
    """Views [1, P, H, W] that together make x, [B, C, H, W]: whole images if channels-last, else as
    many maps as fit.

    x must be contiguous in one of the two layouts; size: how many values a block should have.
    """
    if not x.is_contiguous():
        return list(x.split(1))
    maps = x.view(1, -1, *x.shape[2:])
    return list(maps.split(max(size // (x.shape[2] * x.shape[3]), 1), 1))


def runs(x: Tensor, size: int = 0) -> list[slice]:
    """Whole images of x, [B, ...], in runs of `size` values at most, or one; 0 stands for CACHE
    bytes.

    All at once on an accelerator, where launches cost more.
    """
    size = size or CACHE // x.element_size()
    count = size * len(x) // max(x.numel(), 1) if x.device.type == "cpu" else len(x)
    return [slice(start, start + max(count, 1)) for start in range(0, len(x), max(count, 1))]


def split(x: Tensor, *others: Tensor) -> list[tuple[Tensor, ...]]:
    """Views of x and of others, which hold as many images, side by side in runs of STEP values of
    x.
    """
    return [tuple(tensor[run] for tensor in (x, *others)) for run in runs(x, STEP)]
