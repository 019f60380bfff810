"""Variance and mean along rows or columns, for MCA on a CPU.

PyTorch's own var_mean runs a slow one-pass recurrence for each row. The mean first and then the
squares around it take a sixth of the time, and backward makes the differences again, so that x and
the means alone are kept.

Training is 2.0 to 2.5 times as fast as with a listing that permutes the map, inference 2.6 to 4
times (one core of an Intel Xeon, float32).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.attention.fast._blocks import split_together
from models.attention.fast._context import GradientContext


def variance_and_mean(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return what `torch.var_mean(x, dim, correction=0)` does.

    Args:
        x: [B, C, H, W], float32 or float64.
        dim: 2 or 3.

    Returns:
        Variance and mean, each of the shape of x without dim.
    """
    return _Spread.apply(x, dim)


class _SpreadContext(GradientContext, Protocol):
    dim: int


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: _SpreadContext, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
        mean = x.mean(dim, keepdim=True)
        variance = torch.empty_like(mean)
        for part, middle, result in split_together(x, mean, variance):
            torch.mean((part - middle).square_(), dim, keepdim=True, out=result)
        ctx.save_for_backward(x, mean)
        ctx.dim = dim
        return variance.squeeze(dim), mean.squeeze(dim)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: _SpreadContext, grad_variance: Tensor, grad_mean: Tensor
    ) -> tuple[Tensor, None]:
        x, mean = ctx.saved_tensors
        count = x.shape[ctx.dim]
        slope = grad_variance.unsqueeze(ctx.dim) * (2 / count)
        # The difference first: slope * x - slope * mean would cancel where the mean is large.
        return torch.addcmul(grad_mean.unsqueeze(ctx.dim) / count, x - mean, slope), None
