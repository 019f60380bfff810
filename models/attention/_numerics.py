"""What the arithmetic of several attention modules shares: the type of statistics, batch norm of a
single value, the cells of adaptive pooling, and long rows in float16.
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


def cells_of(x: Tensor, dim: int, cells: int) -> Tensor:
    """Return which positions of x belong to which cell of adaptive pooling, 1 or 0, [cells, size].

    As in PyTorch, position p of a size belongs to cell i of n if the intervals [p, p + 1) / size
    and [i, i + 1) / n overlap, so a position may belong to several cells. The same table, read the
    other way, says what adaptive pooling from n cells to `size` positions averages.

    The table is computed from the shape, so that exporters can follow it for maps of any size.

    Args:
        x: of any shape; the table is on its device, and in the type of its statistics.
        dim: of x, whose positions are meant.
        cells: number of cells, which may exceed the positions.
    """
    size = x.shape[dim]
    position = torch.arange(size, device=x.device)  # [size]
    cell = torch.arange(cells, device=x.device)[:, None]  # [cells, 1]
    overlap = ((position + 1) * cells > cell * size) & (position * cells < (cell + 1) * size)
    return overlap.to(wide(x.dtype))


def convolve_row(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a depthwise convolution with a kernel of one long row, [B, C, H, W] -> [B, C, H, W].

    Float16 on a CPU is computed in float32: on processors with AVX512-FP16, PyTorch 2.14 never
    returns from a float16 kernel of more than 14 columns.
    """
    on_cpu = x.device.type == "cpu"
    autocast = on_cpu and torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if autocast else x.dtype
    if not on_cpu or dtype != torch.float16:
        return conv(x)
    with torch.autocast("cpu", enabled=False):
        weight = conv.weight.float()
        bias = None if conv.bias is None else conv.bias.float()
        out = nn.functional.conv2d(x.float(), weight, bias, 1, conv.padding, groups=conv.groups)
    return out.to(dtype)


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
