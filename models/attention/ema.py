"""EMA, efficient multi-scale attention (not the moving average of weights): one gate for each group
of channels.

Ouyang, He, Zhang, Luo, Guo, Zhan and Huang, "Efficient Multi-Scale Attention Module with
Cross-Spatial Learning", ICASSP 2023, https://arxiv.org/abs/2305.13563, figure 3. Channels form G
groups of m; with a group's map t [m, H, W] and parameters that all groups share,

    [a; b] = conv1x1([mean of t over W; mean of t over H])          u = t * sigmoid(a) * sigmoid(b)
    x1 = group norm of u, a channel a group                         x2 = conv3x3(t)
    gate = sigmoid(softmax(mean of x1) . x2 + softmax(mean of x2) . x1), the products summed over the m channels
    out = t * gate

What is computed is the same, gradients included, by a shorter way: - The mean of x1 over a map is
the bias of its norm, whatever the map, so that the first softmax is softmax(gn.bias). - Weights
known beforehand can be summed before the convolution: softmax(gn.bias) . x2 is a convolution m ->
1, here a
  product of its m x 9 weights with t followed by nine shifts.
- The mean of a zero-padded convolution needs only the sums of t over rows, columns and corners, so
x2 is never made.

Choices: 32 groups as in the authors' code (8 in older copies), or the most below that divide the
channels.
Cost: 10 m^2 + 4 m parameters, 672 at 256 channels. Step by step it moves 17 map sizes forward and
71 with backward and keeps 5.2; here each image goes through all steps while it is in the cache, and
x and the gates (1 / m of x) are kept.
Verdict: not yet measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import runs, traced, wide
from models.attention._registry import register

FACTOR = 32


@register("EMAttention", "EMA_Attention", "EMA_attention")
class EMA(nn.Module):
    """factor: how many groups the channels form; 32 or, where that does not divide them, the most
    below that do.

    Raises ValueError for a factor that does not divide the channels.
    """

    tutorial_order = ("factor",)

    def __init__(self, channels: int, *, factor: int | None = None) -> None:
        super().__init__()
        fitting = [count for count in range(1, channels + 1) if channels % count == 0]
        if factor is None:
            factor = max(count for count in fitting if count <= FACTOR)
        if factor not in fitting or isinstance(factor, bool):
            near = ", ".join(map(str, fitting[:8]))
            raise ValueError(
                f"factor={factor!r}: must divide the {channels} channels, such as {near}"
            )
        self.factor = int(factor)
        members = channels // self.factor
        self.gn = nn.GroupNorm(members, members)
        self.conv1x1 = nn.Conv2d(members, members, 1)
        self.conv3x3 = nn.Conv2d(members, members, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type and memory layout; the gates are computed in
        float32.
        """
        if traced(x) or x.is_meta:
            return self._gate(x, _sums, _plain)
        if not x.is_contiguous(memory_format=torch.channels_last):
            x = x.contiguous()
        with torch.autocast(
            x.device.type, enabled=False
        ):  # single precision throughout, as backward has no autocast
            return self._gate(x, _Sums.apply, _Gate.apply)

    def _gate(self, x: Tensor, sums: Any, gate: Any) -> Tensor:
        full, (height, width) = wide(x.dtype), x.shape[2:]
        x, rows, columns, corners = sums(x, len(self.gn.bias))
        weight, bias = (parameter.to(full) for parameter in self.conv1x1.parameters())
        means = torch.cat((rows / width, columns / height), 2)
        of_rows, of_columns = (
            (weight.flatten(1) @ means + bias[:, None]).sigmoid().split((height, width), 2)
        )
        weight, bias = (parameter.to(full) for parameter in self.conv3x3.parameters())
        shares = self.gn.bias.to(full).softmax(0)
        window = _windows(rows, columns, corners).flatten(1) / (height * width)
        pick = (window @ weight.flatten(1).T + bias).softmax(1)
        kernel = (shares[:, None] * weight.flatten(1)).sum(0).view(-1, 9)
        constant = (shares * bias).sum() + pick @ self.gn.bias.to(full)
        return gate(
            x, self.gn.eps, of_rows, of_columns, kernel, pick * self.gn.weight.to(full), constant
        )

    def extra_repr(self) -> str:
        return f"factor={self.factor}"


def _sums(x: Tensor, members: int) -> tuple[Tensor, ...]:
    """The map; its sums over W [N, m, H] and over H [N, m, W] with N = B * C / m; and its corners
    [N, m, 4].
    """
    full = wide(x.dtype)
    corners = torch.stack((x[:, :, 0, 0], x[:, :, 0, -1], x[:, :, -1, 0], x[:, :, -1, -1]), 2).to(
        full
    )
    if x.is_contiguous():
        parts = (x.sum(3, dtype=full), x.sum(2, dtype=full), corners)
    else:  # sums along the axes as they lie in memory are many times faster
        last = x.permute(0, 2, 3, 1)
        parts = (
            last.sum(2, dtype=full).transpose(1, 2),
            last.sum(1, dtype=full).transpose(1, 2),
            corners,
        )
    return x, *(part.reshape(-1, members, part.shape[2]) for part in parts)


def _windows(rows: Tensor, columns: Tensor, corners: Tensor) -> Tensor:
    """[N, m, 3, 3]: sum of what each tap of a zero-padded 3x3 convolution meets, the whole map less
    a row or column.
    """
    none = torch.zeros_like(rows[:, :, 0])
    above = torch.stack((rows[:, :, -1], none, rows[:, :, 0]), 2)
    beside = torch.stack((columns[:, :, -1], none, columns[:, :, 0]), 2)
    first, second, third, fourth = corners.unbind(2)
    twice = torch.stack((fourth, none, third, none, none, none, second, none, first), 2).unflatten(
        2, (3, 3)
    )
    return rows.sum(2)[:, :, None, None] - above[:, :, :, None] - beside[:, :, None, :] + twice


def _plain(x: Tensor, eps: float, *gates: Tensor) -> Tensor:
    """x times its last gate. gates: sigmoid(a) [N, m, H], sigmoid(b) [N, m, W], and what the last
    is made of: kernel of the convolution m -> 1 [m, 9], weights of the normalised channels [N, m],
    what is added to their sum [N].
    """
    of_rows, of_columns, kernel, weight, constant = gates
    part = x.to(kernel.dtype).reshape(-1, kernel.shape[0], *x.shape[2:])
    centred = part * of_rows[:, :, :, None] * of_columns[:, :, None, :]
    centred = centred - centred.mean((2, 3), keepdim=True)
    normal = centred * (centred.square().mean((2, 3), keepdim=True) + eps).rsqrt()
    gate = (normal * weight[:, :, None, None]).sum(1, keepdim=True) + constant[:, None, None, None]
    gate = gate + nn.functional.conv2d(part, kernel.reshape(1, -1, 3, 3), padding=1)
    return (part * gate.sigmoid()).reshape(x.shape).to(x.dtype)


def _grouped(x: Tensor, kernel: Tensor) -> Tensor:
    """Images [B, C, H, W] in any layout -> contiguous groups [N, m, H, W] in the type that is
    computed in.
    """
    if not x.is_contiguous():
        x = _copy(torch.empty_like(x, memory_format=torch.contiguous_format), x)
    return x.to(kernel.dtype).view(-1, len(kernel), *x.shape[2:])


def _copy(into: Tensor, x: Tensor) -> Tensor:
    """Copy from one layout to another; a transposed matrix for each image is far faster than four
    dimensions.
    """
    for one, other in zip(into.flatten(2), x.view(into.shape).flatten(2), strict=True):
        if one.is_contiguous():
            one.copy_(other)
        else:
            one.t().copy_(other.t())
    return into


def _taps(height: int, width: int) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
    """The nine taps of a 3x3 convolution padded by 1: where in the output each adds which part of
    the input.
    """
    for tap in range(9):
        down, right = tap // 3 - 1, tap % 3 - 1
        into = (
            slice(max(0, -down), height - max(0, down)),
            slice(max(0, -right), width - max(0, right)),
        )
        part = (
            slice(max(0, down), height - max(0, -down)),
            slice(max(0, right), width - max(0, -right)),
        )
        yield tap, (slice(None), *into), (slice(None), *part)


class _Sums(torch.autograd.Function):
    """`_sums`.

    The map is handed on so that backward gets its gradient here and adds to it in place.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, members: int) -> tuple[Tensor, ...]:
        return x.view_as(x), *_sums(x, members)[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, *grads: Tensor) -> tuple[Tensor, None]:
        layout = torch.contiguous_format if grad.is_contiguous() else torch.channels_last
        rows, columns, corners = (one.reshape(*grad.shape[:2], -1).to(grad.dtype) for one in grads)
        rows, columns = (
            one.contiguous(memory_format=layout)
            for one in (rows[:, :, :, None], columns[:, :, None])
        )
        for block in runs(grad):
            grad[block].add_(rows[block]).add_(columns[block])
        for corner, (row, column) in enumerate(((0, 0), (0, -1), (-1, 0), (-1, -1))):
            grad[:, :, row, column] += corners[:, :, corner]
        return grad, None


class _Gate(torch.autograd.Function):
    """`_plain` block by block; keeps its inputs, the last sigmoid, and mean and 1 / deviation of
    the channels.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, *gates: Tensor) -> Tensor:
        kernel, (height, width) = gates[2], x.shape[2:]
        members, groups = len(kernel), len(gates[4]) // len(x)
        out = torch.empty_like(x)
        last = kernel.new_empty(len(x) * groups, height, width)
        statistics = kernel.new_empty(2, len(last), members, 1)
        for block in runs(x):
            own = slice(block.start * groups, block.stop * groups)
            of_rows, of_columns, weight, constant = (gates[which][own] for which in (0, 1, 3, 4))
            part = _grouped(x[block], kernel)
            inner = (part * of_rows[:, :, :, None]).mul_(of_columns[:, :, None, :])
            sizes = (len(part), members, height * width, members)
            normal, mean, rstd = torch.native_group_norm(inner, None, None, *sizes, eps)
            statistics[0, own, :, 0], statistics[1, own, :, 0] = mean, rstd
            gate = torch.baddbmm(constant[:, None, None], weight[:, None], normal.flatten(2)).view(
                -1, height, width
            )
            maps = (kernel.T @ part.flatten(2)).unflatten(2, (height, width))
            for tap, into, source in _taps(height, width):
                gate[into].add_(maps[:, tap][source])
            last[own] = gate.sigmoid_()
            _copy(out[block], torch.mul(part, gate[:, None], out=inner))
        ctx.save_for_backward(x, *gates, last, statistics)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *gates, last, statistics = ctx.saved_tensors
        kernel, (height, width) = gates[2], x.shape[2:]
        groups = len(last) // len(x)
        of_x = torch.empty_like(x)
        of_gates = [torch.zeros_like(gate) for gate in gates]
        for block in runs(x):
            own = slice(block.start * groups, block.stop * groups)
            of_rows, of_columns, weight = (
                gates[0][own, :, :, None],
                gates[1][own, :, None, :],
                gates[3][own, :, None],
            )
            part, above = _grouped(x[block], kernel), _grouped(grad[block], kernel)
            inner = (part * above).sum(1)
            inner = torch.ops.aten.sigmoid_backward(
                inner, last[own]
            )  # of the sum before the last sigmoid, [N, H, W]
            into = above * last[own, None]  # becomes the gradient of part
            maps = _unshift(inner)
            into.flatten(2).baddbmm_(kernel.expand(len(part), -1, -1), maps)
            of_gates[2] += torch.bmm(part.flatten(2), maps.transpose(1, 2)).sum(0)
            of_gates[4][own] = inner.sum((1, 2))
            # through the norm
            mean, rstd = statistics[:, own, :, :, None]
            normal = (part * of_rows).mul_(of_columns).sub_(mean).mul_(rstd)
            of_gates[3][own] = dot = torch.bmm(
                normal.flatten(2), inner.view(len(part), -1, 1)
            ).squeeze(2)
            normal.mul_(dot[:, :, None, None] / -(height * width))
            normal.add_((inner - inner.mean((1, 2), keepdim=True))[:, None])
            normal.mul_(weight[..., None] * rstd)
            into.addcmul_(normal * of_columns, of_rows)
            normal.mul_(part)
            of_gates[0][own] = (normal @ gates[1][own, :, :, None]).squeeze(3)
            of_gates[1][own] = (gates[0][own, :, None] @ normal).squeeze(2)
            _copy(of_x[block], into)
        return of_x, None, *of_gates


def _unshift(inner: Tensor) -> Tensor:
    """[N, H, W] -> [N, 9, H * W]: what each tap of the convolution took part in; the transpose of
    the shifts.
    """
    maps = inner.new_zeros(len(inner), 9, *inner.shape[1:])
    for tap, into, source in _taps(*inner.shape[1:]):
        maps[:, tap][source] = inner[into]
    return maps.flatten(2)
