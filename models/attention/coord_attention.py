"""Coordinate attention: one gate per channel and row, one per channel and column, from means along
the other direction.

Hou, Zhou and Feng, "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021,
https://arxiv.org/abs/2103.02907. Equations 4 to 9 there: z_h = mean of x over its width, z_w = mean
over its height, f = hardswish(BN(conv1 [z_h; z_w])), result x * sigmoid(conv_h f_h) *
sigmoid(conv_w f_w), all convolutions 1 x 1.

[B, C, H, W] -> [B, C, H, W]. Cost: with m = max(8, C // reduction) hidden channels 3 C m + 3 m + 2
C parameters. Forward reads the map three times and writes one; backward keeps x alone and writes
one map.

Choices: as the authors' code (hardswish, biases); the paper leaves the non-linearity open.
conv1.bias has no effect and no gradient in train mode, since batch norm follows. One position in
train mode with batch 1 still has two values, so batch norm is always defined; on a 1 x 1 map both
means are the map itself.

Verdict: hurts on bccd in the neck of yolov5n, 30 epochs, 3 seeds:
-2.48 points of mAP50-95 (95 % interval -4.69 to -0.26).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import normalise, split, traced, wide
from models.attention._registry import register

SMALLEST_HIDDEN, USUAL_REDUCTION = 8, 32


@register("CoordAtt", "CA", "CoordAtt_Attention", "CoordinateAttention")
class CoordAttention(nn.Module):
    """Scales rows and columns of every channel.

    reduction: the gates share max(8, C // reduction) hidden channels.

    Raises ValueError for a reduction that is not a whole number from 1 up to the channels (or 32).
    """

    tutorial_order = ("reduction",)

    def __init__(self, channels: int, *, reduction: int = 32) -> None:
        super().__init__()
        if not isinstance(reduction, int) or isinstance(reduction, bool) or reduction < 1:
            raise ValueError(f"reduction={reduction!r}: must be a whole number from 1 on")
        if reduction > max(channels, USUAL_REDUCTION):
            raise ValueError(
                f"reduction={reduction}: is more than the {channels} channels; write {{reduction:"
                " 32}"
            )
        hidden = max(SMALLEST_HIDDEN, channels // reduction)
        self.conv1 = nn.Conv2d(channels, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_h = nn.Conv2d(hidden, channels, 1)
        self.conv_w = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type."""
        if traced(x):
            rows, columns = (x.mean(dim, keepdim=True, dtype=wide(x.dtype)) for dim in (3, 2))
            rows, columns = self._gates(rows, columns)
            return x * rows.to(x.dtype) * columns.to(x.dtype)
        x, rows, columns = _Means.apply(x)
        rows, columns = self._gates(rows, columns)
        return _Gate.apply(x, rows.to(x.dtype), columns.to(x.dtype))

    def _gates(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Means [B, C, H, 1] and [B, C, 1, W] -> gates of the same shapes."""
        height, width = rows.shape[2], columns.shape[3]
        both = torch.cat((rows, columns.transpose(2, 3)), 2).to(self.conv1.weight.dtype)
        both = nn.functional.hardswish(normalise(self.bn1, self.conv1(both)))
        rows, columns = both.split((height, width), 2)
        return self.conv_h(rows).sigmoid(), self.conv_w(columns.transpose(2, 3)).sigmoid()


def _row_sums(x: Tensor) -> Tensor:
    """Sums over the width, [B, C, H, 1]; dimensions go in memory order, since PyTorch is up to 30
    times slower else.
    """
    if _channels_last(x):
        return x.permute(0, 2, 3, 1).sum(2, keepdim=True, dtype=wide(x.dtype)).permute(0, 3, 1, 2)
    return x.sum(3, keepdim=True, dtype=wide(x.dtype))


def _column_sums(x: Tensor) -> Tensor:
    """Sums over the height, [B, C, 1, W]."""
    if _channels_last(x):
        return x.permute(0, 2, 3, 1).sum(1, keepdim=True, dtype=wide(x.dtype)).permute(0, 3, 1, 2)
    return x.sum(2, keepdim=True, dtype=wide(x.dtype))


def _channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


def _laid_like(x: Tensor, *gates: Tensor) -> tuple[Tensor, ...]:
    """The gates in x's memory layout, in which they multiply four times faster."""
    layout = torch.channels_last if _channels_last(x) else torch.contiguous_format
    return tuple(gate.contiguous(memory_format=layout) for gate in gates)


class _Means(torch.autograd.Function):
    """x -> (x, means over the width, means over the height).

    x is passed through so that its gradient arrives here as a map that _Gate made for no one else;
    the means' gradients are added to that very map, instead of writing two more and their sums.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows, columns = _row_sums(x) / x.shape[3], _column_sums(x) / x.shape[2]
        return x, rows, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        rows, columns = _laid_like(grad, rows / grad.shape[3], columns / grad.shape[2])
        for part, row, column in split(grad, rows, columns):
            part.add_(row).add_(column)
        return grad


class _Gate(torch.autograd.Function):
    """x * rows * columns; keeps the three, and backward writes the one map that it returns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        rows, columns = _laid_like(x, rows, columns)
        ctx.save_for_backward(x, rows, columns)
        out = torch.empty_like(x)
        for part, row, column, result in split(x, rows, columns, out):
            torch.mul(part, row, out=result).mul_(column)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, rows, columns = ctx.saved_tensors
        out, grad_rows, grad_columns = (torch.empty_like(tensor) for tensor in (x, rows, columns))
        operands = split(grad, x, rows, columns, out, grad_rows, grad_columns)
        for g, part, row, column, result, result_row, result_column in operands:
            torch.mul(g, column, out=result)
            along = result * part
            result_row.copy_(_row_sums(along))
            result.mul_(row)
            along = torch.mul(g, part, out=along).mul_(row)
            result_column.copy_(_column_sums(along))
        return out, grad_rows, grad_columns
