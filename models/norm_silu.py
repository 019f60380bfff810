"""Batch norm and SiLU as one operation, which keeps its input only; Conv in models/common.py.

PyTorch's two operations write a normalised map, which SiLU's gradient needs, and another one. On a
CPU, writing a large map to fresh memory costs more than computing it. Here SiLU overwrites the
normalised map, which the gradient computes anew from the norm's input, one part at a time, each of
which stays in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.activations import SiLU
from models.fast_form import use_fast
from models.gradient_context import GradientContext

PART = 1 << 16  # values that are computed at once: four maps' parts of 256 KiB stay in the cache
LEAST = 1 << 23  # values of a map: smaller ones are given memory that is in the cache already


def norm_act(norm: nn.BatchNorm2d, act: nn.Module, x: Tensor) -> Tensor:
    """act(norm(x)), [B, C, H, W] -> the same shape, by the fast form where it fits.

    Gradients of the two forms differ by float32 rounding, values and statistics not at all.
    """
    if not (torch.is_grad_enabled() and fits(norm, act, x)):
        return act(norm(x))
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    statistics = (norm.running_mean, norm.running_var, norm.momentum, norm.eps)
    return cast(Tensor, _NormSiLU.apply(x, norm.weight, norm.bias, statistics))


def fits(norm: nn.BatchNorm2d, act: nn.Module, x: Tensor) -> bool:
    """Whether the fast form computes what the two modules would, and is the faster one."""
    if not (use_fast(x) and norm.training and type(norm) is nn.BatchNorm2d):
        return False
    return (
        type(act) in (SiLU, nn.SiLU)
        and not any(_hooks(norm) + _hooks(act))
        and norm.momentum is not None
        and norm.running_mean is not None
        and norm.weight is not None
        and x.dtype == norm.weight.dtype == torch.float32
        and x.numel() >= LEAST
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def _hooks(module: nn.Module) -> tuple[object, ...]:
    return (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )


class _Context(GradientContext, Protocol):
    eps: float


class _NormSiLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        statistics: tuple[Tensor, Tensor, float, float],
    ) -> Tensor:
        running_mean, running_var, momentum, ctx.eps = statistics
        out, mean, scale = torch.native_batch_norm(
            x, weight, bias, running_mean, running_var, True, momentum, ctx.eps
        )
        ctx.save_for_backward(x, weight, bias, mean, scale)  # scale is 1 / sqrt(variance + eps)
        return F.silu(out, inplace=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, scale = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        factor = scale * weight
        offset = torch.addcmul(bias, mean, factor, value=-1)
        to_normalised = torch.empty_like(x)
        parts = list(_parts(x, grad, to_normalised))
        scratch = torch.empty_like(parts[0][0])
        for part, above, result in parts:
            normalised = torch.addcmul(offset, part, factor, out=scratch[: len(part)])
            torch.ops.aten.silu_backward.grad_input(above, normalised, grad_input=result)
        wanted, no = list(ctx.needs_input_grad[:3]), None
        grads = torch.ops.aten.native_batch_norm_backward(
            to_normalised, x, weight, no, no, mean, scale, True, ctx.eps, wanted
        )
        return *grads, None


def _parts(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Matching views [rows, C] of channels-last maps [B, C, H, W], of PART values at most."""
    channels = maps[0].shape[1]
    rows = (x.permute(0, 2, 3, 1).reshape(-1, channels) for x in maps)
    return zip(*(each.split(max(PART // channels, 1)) for each in rows), strict=True)
