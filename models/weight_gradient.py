"""The gradient of a convolution's weight, strip by strip; Conv in models/common.py convolves here.

On a processor with AVX2 but not AVX-512, oneDNN computes this gradient for a few channels at a time
and reads the image anew for each. Channels-last, every reading touches all of it, which takes three
times as long as for maps with blocked channels once an image leaves the cache. A strip of rows
stays there.
"""

from __future__ import annotations

from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.fast_form import use_fast
from models.gradient_context import GradientContext

STRIP = 3 << 17  # values of a strip, input and output together: 1.5 MiB
LARGE = 3 << 18  # such values of an image above which strips are faster
LEAST_CHANNELS = 32  # of the input


def convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv(x), [B, C, H, W] -> [B, C', H', W'], with the faster form of the gradient if it fits.

    The gradient differs by float32 rounding, the output not at all.
    """
    if torch.is_grad_enabled() and is_slow(conv, x):
        sizes = (cast(tuple[int, int], conv.stride), cast(tuple[int, int], conv.padding))
        return cast(Tensor, _Convolve.apply(x, conv.weight, *sizes))
    return conv(x)


def is_slow(conv: nn.Conv2d, x: Tensor) -> bool:
    """Whether oneDNN's gradient of this weight is slow, and strips compute the same."""
    if not use_fast(x) or torch.backends.cpu.get_cpu_capability() != "AVX2":
        return False
    is_plain = type(conv) is nn.Conv2d and conv.padding_mode == "zeros" and conv.bias is None
    return (
        is_plain
        and not isinstance(conv.padding, str)
        and conv.groups == 1
        and conv.dilation == (1, 1)
        and conv.kernel_size[0] > 1
        and conv.in_channels >= LEAST_CHANNELS
        and conv.weight.requires_grad
        and not any((conv._forward_hooks, conv._forward_pre_hooks, conv._backward_hooks))
        and x.dtype == conv.weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.is_contiguous(memory_format=torch.channels_last)
        and row_values(conv.weight, x.shape[3], conv.stride) * x.shape[2] > LARGE * conv.stride[0]
    )


def row_values(weight: Tensor, width: int, stride: tuple[int, ...]) -> int:
    """Values of one row of the output and of the rows of the input that belong to it alone.

    Args:
        weight: [C', C, k, k].
        width: of the input.
        stride: along height and width.
    """
    outputs, inputs = weight.shape[:2]
    return width * inputs * stride[0] + width // stride[1] * outputs


class _Context(GradientContext, Protocol):
    sizes: tuple[tuple[int, int], tuple[int, int]]


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: _Context, x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.sizes = (stride, padding)
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.sizes
        grad = grad.contiguous(memory_format=torch.channels_last)
        to_x = to_weight = None
        if ctx.needs_input_grad[0]:
            to_x = _gradients(grad, x, weight, (stride, padding, [True, False, False]))[0]
        if ctx.needs_input_grad[1]:
            to_weight = in_strips(grad, x, weight, stride, padding)
        return to_x, to_weight, None, None


def in_strips(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """The gradient of the weight.

    Args:
        grad: of the output, [B, C', H', W'].
        x: the input, [B, C, H, W].
        weight: [C', C, k, k].
        stride, padding: of the convolution, (along height, along width).

    Returns:
        The gradient, [C', C, k, k].
    """
    total = torch.zeros_like(weight)
    rows = max(STRIP // row_values(weight, x.shape[3], stride), 1)
    for image, above in zip(x.split(1), grad.split(1), strict=True):
        for first in range(0, grad.shape[2], rows):
            part = above[:, :, first : first + rows]
            top = first * stride[0] - padding[0]
            end = top + (part.shape[2] - 1) * stride[0] + weight.shape[2]
            strip = image[:, :, max(top, 0) : end]
            outside = (max(-top, 0), max(end - x.shape[2], 0))
            if any(outside):
                strip = F.pad(strip, (0, 0, *outside))
            options = (stride, (0, padding[1]), [False, True, False])
            total += _gradients(part, strip, weight, options)[1]
    return total


def _gradients(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    options: tuple[tuple[int, int], tuple[int, int], list[bool]],
) -> tuple[Tensor, Tensor]:
    """PyTorch's gradients of input and weight, those that the mask in the options asks for."""
    stride, padding, mask = options
    to_x, to_weight, _ = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), 1, mask
    )
    return to_x, to_weight
