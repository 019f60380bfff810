"""CBAM: a gate per channel, then a gate per position, each from maximum and mean.

Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018,
https://arxiv.org/abs/1807.06521. Equation 2 there: M_c = sigmoid(F(mean x) + F(max x)), pooled over
the map, F two linear layers with ReLU between them. Equation 3: M_s = sigmoid(conv([max y, mean
y])), pooled over the channels of y = M_c x. Result: M_s y.

[B, C, H, W] -> [B, C, H, W]. Cost: 2 C C / r + C / r + C parameters and 2 k k + 2 for the spatial
gate. Forward reads the map three times and writes one map; backward keeps x alone, without y and
without indices of maxima.

Choices where code and paper differ, and among copies: - As the authors' code: linear layers with
bias, [max, mean] order, and batch norm of momentum 0.01 after the
  convolution, none of which the paper shows. (Their ImageNet script starts that norm's weight at 0, which stops the
  convolution's gradient at first; here it is 1.)
- At least one hidden value; the code gets none below C = r, and then a constant gate.
- Where several positions share a maximum its gradient is split among them evenly.
- Not CBAM of Ultralytics, which has another channel gate (mean only, one C x C layer).

Verdict: no evidence on bccd in the neck of yolov5n, 30 epochs, 3 seeds:
-1.63 points of mAP50-95 (95 % interval -3.84 to +0.59).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import normalise, scale, split, traced, wide
from models.attention._registry import register

USUAL_REDUCTION = 16


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, mean: Tensor, largest: Tensor) -> Tensor:
        """Two times [B, C] -> [B, C, 1, 1]."""
        both = self.fc2(
            self.fc1(torch.stack((mean, largest.to(mean.dtype))).to(self.fc1.weight.dtype)).relu()
        )
        return (both[0] + both[1]).sigmoid()[:, :, None, None]


class _SpatialGate(nn.Module):
    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)

    def forward(self, largest: Tensor, mean: Tensor) -> Tensor:
        """Two times [B, 1, H, W] -> [B, 1, H, W]."""
        maps = torch.cat((largest.to(mean.dtype), mean), 1).to(self.conv.weight.dtype)
        return normalise(self.bn, self.conv(maps)).sigmoid()


@register("CBAMBlock", "CBAM_Attention", "CBAMAttention")
class CBAM(nn.Module):
    """Scales channels, then positions.

    reduction: the channel gate has max(1, C // reduction) hidden values. kernel_size: of the
    spatial gate, odd. no_spatial: channel gate only.

    Raises ValueError for a reduction below 1, not whole, or above the channels (or 16), a
    kernel_size that is not odd, or a no_spatial not a bool.
    """

    tutorial_order = ("kernel_size",)

    def __init__(
        self, channels: int, *, reduction: int = 16, kernel_size: int = 7, no_spatial: bool = False
    ) -> None:
        super().__init__()
        _check_whole("reduction", reduction)
        _check_whole("kernel_size", kernel_size)
        if reduction > max(channels, USUAL_REDUCTION):
            raise ValueError(
                f"reduction={reduction}: is more than the {channels} channels; write {{reduction:"
                " 16}"
            )
        if kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size={kernel_size}: must be odd, such as {kernel_size + 1}, to keep the"
                " map's size"
            )
        if not isinstance(no_spatial, bool):
            raise ValueError(f"no_spatial={no_spatial!r}: must be true or false")
        self.channel_attention = _ChannelGate(channels, max(1, channels // reduction))
        self.spatial_attention = None if no_spatial else _SpatialGate(kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type."""
        if torch.is_grad_enabled() and not traced(x):
            return self._train(x)
        y = x * self.channel_attention(x.mean((2, 3), dtype=wide(x.dtype)), x.amax((2, 3))).to(
            x.dtype
        )
        if self.spatial_attention is None:
            return y
        mean = y.mean(1, keepdim=True, dtype=wide(x.dtype))
        position = self.spatial_attention(y.amax(1, keepdim=True), mean).to(x.dtype)
        return y * position if traced(x) else y.mul_(position)

    def _train(self, x: Tensor) -> Tensor:
        """The formula with hand-written gradients, which keep x alone."""
        x, mean, largest = _PoolMap.apply(x)
        channel = self.channel_attention(mean, largest).to(x.dtype)
        if self.spatial_attention is None:
            return scale(x, channel)
        x, largest, mean = _PoolChannels.apply(x, channel)
        return _Gate.apply(x, channel, self.spatial_attention(largest, mean).to(x.dtype))


def _check_whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number from 1 on")


class _PoolMap(torch.autograd.Function):
    """x -> (x, mean over the map, maximum over the map).

    x is passed through so that the gradients of what follows arrive here as one map, made by _Gate
    for no one else: the pooled values' gradients are added to that very map, instead of writing two
    more and their sums.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        largest = x.amax((2, 3))
        ctx.save_for_backward(x, largest)
        return x, x.mean((2, 3), dtype=wide(x.dtype)), largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor, grad_largest: Tensor) -> Tensor:
        x, largest = ctx.saved_tensors
        mean = (grad_mean / (x.shape[2] * x.shape[3]))[:, :, None, None]
        operands = split(grad, x, mean, largest[:, :, None, None], grad_largest[:, :, None, None])
        for out, part, slope, top, grad_top in operands:
            here = torch.eq(part, top).to(x.dtype)
            out.add_(slope).addcmul_(here, grad_top / here.sum((2, 3), keepdim=True))
        return grad


class _PoolChannels(torch.autograd.Function):
    """(x, gate) -> (x, maximum, mean) of y = gate * x over channels; y itself is never kept.

    See _PoolMap.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        largest = x.new_empty(len(x), 1, *x.shape[2:])
        mean = torch.empty_like(largest, dtype=wide(x.dtype))
        for part, factor, top, middle in split(x, gate, largest, mean):
            y = part * factor
            torch.amax(y, 1, keepdim=True, out=top)
            torch.mean(y, 1, keepdim=True, dtype=mean.dtype, out=middle)
        ctx.save_for_backward(x, gate, largest)
        return x, largest, mean

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad: Tensor, grad_largest: Tensor, grad_mean: Tensor
    ) -> tuple[Tensor, Tensor]:
        x, gate, largest = ctx.saved_tensors
        grad_gate = torch.empty_like(gate)
        grad_mean = grad_mean / x.shape[1]
        operands = split(grad, x, gate, largest, grad_largest, grad_mean, grad_gate)
        for out, part, factor, top, grad_top, slope, result in operands:
            y = part * factor
            here = y.eq_(top)
            here.mul_(grad_top / here.sum(1, keepdim=True)).add_(slope)
            out.addcmul_(here, factor)
            torch.sum(here.mul_(part), (2, 3), keepdim=True, out=result)
        return grad, grad_gate


class _Gate(torch.autograd.Function):
    """x * channel * position; keeps the three, and backward writes the one map that it returns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, channel: Tensor, position: Tensor) -> Tensor:
        ctx.save_for_backward(x, channel, position)
        out = torch.empty_like(x)
        for part, factor, place, result in split(x, channel, position, out):
            torch.mul(part, factor, out=result).mul_(place)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, channel, position = ctx.saved_tensors
        out, grad_channel, grad_position = (
            torch.empty_like(tensor) for tensor in (x, channel, position)
        )
        operands = split(grad, x, channel, position, out, grad_channel, grad_position)
        for g, part, factor, place, result, result_channel, result_position in operands:
            torch.mul(g, place, out=result)
            along = result * part
            torch.sum(along, (2, 3), keepdim=True, out=result_channel)
            result.mul_(factor)
            along = torch.mul(g, part, out=along).mul_(factor)
            torch.sum(along, 1, keepdim=True, out=result_position)
        return out, grad_channel, grad_position
