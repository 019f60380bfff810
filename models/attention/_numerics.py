"""Numerical safeguards of several attention modules: the type of statistics, and batch norm of a
single value.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

AnyBatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.SyncBatchNorm


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return the type for statistics: float32, or float64 if dtype is float64.

    Sums and squares of a whole map overflow float16, and bfloat16 has no digits left for them.
    """
    return torch.promote_types(dtype, torch.float32)


def apply_batch_norm(norm: AnyBatchNorm, x: Tensor) -> Tensor:
    """Apply a batch norm module to x, [B, C, ...]; the result has the shape of x.

    In train mode a single value per channel is normalised by the running statistics, because it
    has no variance: PyTorch would raise, or return the norm's bias for any x.
    """
    if norm.training and x.numel() == x.shape[1]:
        mean, variance = norm.running_mean, norm.running_var
        return nn.functional.batch_norm(
            x, mean, variance, norm.weight, norm.bias, training=False, eps=norm.eps
        )
    return norm(x)


def apply_wide_batch_norm(norm: AnyBatchNorm, x: Tensor) -> Tensor:
    """Batch norm of maps, [B, C, H, W]; one whose weights have half precision gives float32.

    Products of normalised maps would lose a hundredth where each is rounded to bfloat16.
    """
    if norm.weight.itemsize > 2 or norm.running_mean is None or norm.running_var is None:
        return apply_batch_norm(norm, x)
    mean, variance, weight, bias = (
        one.float() for one in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    has_variance = norm.training and x.numel() > x.shape[1]
    momentum = norm.momentum or 0.0
    x = nn.functional.batch_norm(
        x.float(), mean, variance, weight, bias, has_variance, momentum, norm.eps
    )
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)
    return x
