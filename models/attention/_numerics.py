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
