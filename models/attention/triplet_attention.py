"""TripletAttention: three gates, each on a plane of two of the axes channels, rows and columns, and
their mean.

Misra, Nalamada, Arasanipalai and Hou, "Rotate to Attend: Convolutional Triplet Attention Module",
WACV 2021, https://arxiv.org/abs/2010.03045, section 3. Z-pool along one axis gives two planes,
maximum and mean; a convolution 2 -> 1 without bias, batch normalisation and a sigmoid make of them
the gate of that axis:

    cw: pooled over rows, plane [C, W]     hc: over columns, plane [H, C]     hw: over channels, plane [H, W]
    out = x * (gate_cw + gate_hc + gate_hw) / 3, or x * (gate_cw + gate_hc) / 2 with no_spatial

Choices: the authors rotate the map so that the pooled axis comes first, and back; reducing along
the axis itself gives the same numbers, gradients included, without four copies. Values equal to the
maximum share its gradient in equal parts, where the authors' code gives it to one of them. Batch
normalisation has their momentum, 0.01; a plane of a single value is normalised by the running
statistics in training.

Cost: 6 k^2 + 6 parameters, 300 at 7x7, at any width. Step by step it moves 29 map sizes forward and
86 with backward, and keeps 3.3 for backward; here each image goes through all steps while it is in
the cache, and x alone is kept.
Verdict: not yet measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import normalise, runs, traced, wide
from models.attention._registry import register


@register("TripletAtt", "Triplet")
class TripletAttention(nn.Module):
    """no_spatial: leave the gate of the plane [H, W] out. kernel_size: of the convolutions, odd; 7
    in the paper.

    Raises ValueError for a no_spatial that is no truth value, or a kernel_size that is not an odd
    number from 1 on.
    """

    tutorial_order = ("no_spatial", "kernel_size")

    def __init__(self, channels: int, *, no_spatial: bool = False, kernel_size: int = 7) -> None:
        super().__init__()
        if not isinstance(no_spatial, bool):
            raise ValueError(f"no_spatial={no_spatial!r}: must be True or False")
        if (
            not isinstance(kernel_size, int)
            or isinstance(kernel_size, bool)
            or kernel_size < 1
            or kernel_size % 2 == 0
        ):
            raise ValueError(
                f"kernel_size={kernel_size!r}: must be an odd whole number from 1 on, such as 7"
            )
        self.no_spatial = no_spatial
        self.cw = _Gate(kernel_size)
        self.hc = _Gate(kernel_size)
        if not no_spatial:
            self.hw = _Gate(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type and memory layout; maxima and means are
        pooled in float32.
        """
        plain = traced(x)
        last = (
            not plain
            and not x.is_contiguous()
            and x.is_contiguous(memory_format=torch.channels_last)
        )
        y = x.permute(0, 2, 3, 1) if last else x if plain else x.contiguous()
        names = (
            ("cw", "hc", "hw") if last else ("hw", "cw", "hc")
        )  # of the gates over axes 1, 2 and 3 of y
        turned = "cw" if last else "hc"  # the plane that y has the other way round
        axes = tuple(
            axis for axis, name in enumerate(names, 1) if not (self.no_spatial and name == "hw")
        )
        y, *planes = _pool(y, axes) if plain else _Pool.apply(y, axes)
        gates = []
        for axis, plane in zip(axes, planes, strict=True):
            name = names[axis - 1]
            gate = self.get_submodule(name)(plane.transpose(2, 3) if name == turned else plane)
            gate = (gate.transpose(2, 3) if name == turned else gate).squeeze(1).unsqueeze(axis)
            gates.append((gate / len(axes)).to(x.dtype))
        out = _times_sum(y, gates) if plain else _Apply.apply(y, axes, *gates)
        return out.permute(0, 3, 1, 2) if last else out


class _Gate(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(kernel_size)

    def forward(self, plane: Tensor) -> Tensor:
        """Maximum and mean [B, 2, P, Q] -> gate [B, 1, P, Q]."""
        return self.conv(plane).sigmoid()


class _ConvNorm(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, plane: Tensor) -> Tensor:
        """[B, 2, P, Q] in any type -> [B, 1, P, Q]."""
        return normalise(self.bn, self.conv(plane.to(self.conv.weight.dtype)))


def _pool(y: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """The map and, for each of the axes, the plane of maxima and means along it, [B, 2, ., .] in
    float32 at least.
    """
    full = wide(y.dtype)
    return y, *(torch.stack((y.amax(axis).to(full), y.mean(axis, dtype=full)), 1) for axis in axes)


class _Pool(torch.autograd.Function):
    """`_pool` block by block.

    The map is handed on so that backward gets its gradient here and adds to it in place.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, ...]:
        parts = [_pool(y[block], axes)[1:] for block in runs(y)]
        planes = [torch.cat(plane) for plane in zip(*parts, strict=True)]
        ctx.axes = axes
        ctx.save_for_backward(y, *planes)
        return y.view_as(y), *planes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *grads: Tensor) -> tuple[Tensor, None]:
        y, *planes = ctx.saved_tensors
        for block in runs(y):
            part, into = y[block], grad[block]
            equal = torch.empty_like(part)
            for axis, plane, above in zip(ctx.axes, planes, grads, strict=True):
                maximum, of_maximum, of_mean = (
                    one.unsqueeze(axis).to(y.dtype)
                    for one in (plane[block, 0], *above[block].unbind(1))
                )
                torch.eq(part, maximum, out=equal)
                into.addcmul_(equal, of_maximum / equal.sum(axis, keepdim=True))
                into.add_(of_mean / y.shape[axis])
        return grad, None


def _times_sum(y: Tensor, gates: Sequence[Tensor], out: Tensor | None = None) -> Tensor:
    """y * (sum of two or three gates that broadcast), written to out where that is given."""
    total = torch.add(gates[0], gates[1], out=out)
    for gate in gates[2:]:
        total = torch.add(total, gate, out=out)
    return torch.mul(total, y, out=out)


class _Apply(torch.autograd.Function):
    """`_times_sum` block by block; keeps its inputs only. axes: the axis that each gate has no
    extent along.
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, axes: tuple[int, ...], *gates: Tensor) -> Tensor:
        ctx.axes = axes
        ctx.save_for_backward(y, *gates)
        out = torch.empty_like(y)
        for block in runs(y):
            _times_sum(y[block], [gate[block] for gate in gates], out[block])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, *gates = ctx.saved_tensors
        grad = grad.contiguous()
        of_y = torch.empty_like(y)
        of_gates = [torch.empty_like(gate) for gate in gates]
        for block in runs(y):
            product = grad[block] * y[block]
            for axis, of_gate in zip(ctx.axes, of_gates, strict=True):
                of_gate[block] = product.sum(axis, keepdim=True)
            _times_sum(grad[block], [gate[block] for gate in gates], of_y[block])
        return of_y, None, *of_gates
