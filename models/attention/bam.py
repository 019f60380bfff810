"""BAM: one gate per channel and position, from a channel branch and a dilated convolution branch,
as a residual.

Park, Woo, Lee and Kweon, "BAM: Bottleneck Attention Module", BMVC 2018,
https://arxiv.org/abs/1807.06514. Equations 1 to 5 there: result x + x * sigmoid(M_c + M_s); M_c =
two linear layers of the map's mean, M_s = 1 x 1 convolution to C / r channels, two 3 x 3
convolutions with dilation d, 1 x 1 convolution to one map. ReLU and batch norm between them.

[B, C, H, W] -> [B, C, H, W]. Cost with h = C / r: 2 C h + 3 h + C parameters for the channel branch
and C h + 3 h + 2 (9 h h + 3 h) + h + 1 for the spatial one, whose multiply-adds (h C + 18 h h + h
per position) are nearly all. Backward keeps x and maps of h channels, not the gate.

Choices where code and paper differ: - The authors' code multiplies the branches, the paper adds
them and its ablation favours that. `combine: mul` is the
  default since the authors' weights need it; `combine: add` is the paper's equation.
- The code pools a square window of the map's height, which leaves out columns or fails; here the
whole map is pooled. - The paper ends each branch with batch norm, the code does not, nor does this.
- At least one hidden channel. One value per channel in train mode (batch 1 in the channel branch)
has no statistics;
  the running ones are used.
The authors place it once between stages, not in every block.

Verdict: not yet measured.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import normalise, split, traced, wide
from models.attention._registry import register

USUAL_REDUCTION = 16


class _ChannelBranch(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc0 = nn.Linear(channels, hidden)
        self.bn0 = nn.BatchNorm1d(hidden)
        self.fc_final = nn.Linear(hidden, channels)

    def forward(self, mean: Tensor) -> Tensor:
        """[B, C] -> [B, C, 1, 1]."""
        hidden = normalise(self.bn0, self.fc0(mean.to(self.fc0.weight.dtype))).relu()
        return self.fc_final(hidden)[:, :, None, None]


class _SpatialBranch(nn.Module):
    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, hidden, 1)
        self.bn_reduce = nn.BatchNorm2d(hidden)
        self.conv0 = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.bn0 = nn.BatchNorm2d(hidden)
        self.conv1 = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_final = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 1, H, W]."""
        x = normalise(self.bn_reduce, self.conv_reduce(x)).relu()
        x = normalise(self.bn0, self.conv0(x)).relu()
        x = normalise(self.bn1, self.conv1(x)).relu()
        return self.conv_final(x)


@register("BAMBlock", "BAM_Attention", "BAMAttention")
class BAM(nn.Module):
    """x * (1 + sigmoid(channel branch combined with spatial branch)).

    reduction: both branches have max(1, C // reduction) hidden channels.
    dilation: of the 3 x 3 convolutions, positions.
    combine: "mul" as in the authors' code and weights, or "add" as in the paper.

    Raises ValueError for a reduction or dilation that is not a whole number from 1 on, for a
    reduction above the channels (or 16), and for another combine.
    """

    tutorial_order = ("reduction",)

    def __init__(
        self, channels: int, *, reduction: int = 16, dilation: int = 4, combine: str = "mul"
    ) -> None:
        super().__init__()
        _check_whole("reduction", reduction)
        _check_whole("dilation", dilation)
        if reduction > max(channels, USUAL_REDUCTION):
            raise ValueError(
                f"reduction={reduction}: is more than the {channels} channels; write {{reduction:"
                " 16}"
            )
        if combine not in ("mul", "add"):
            raise ValueError(f"combine={combine!r}: must be mul or add")
        self.combine = combine
        hidden = max(1, channels // reduction)
        self.channel_att = _ChannelBranch(channels, hidden)
        self.spatial_att = _SpatialBranch(channels, hidden, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type."""
        if traced(x):
            mean = x.mean((2, 3), dtype=wide(x.dtype))
            channel, position = self.channel_att(mean), self.spatial_att(x)
            both = channel * position if self.combine == "mul" else channel + position
            return x + x * both.sigmoid().to(x.dtype)
        x, mean = _PoolMap.apply(x)
        channel, position = self.channel_att(mean).to(x.dtype), self.spatial_att(x).to(x.dtype)
        return _Gate.apply(x, channel, position, self.combine == "mul")

    def extra_repr(self) -> str:
        return f"combine={self.combine}"


def _check_whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name}={value!r}: must be a whole number from 1 on")


class _PoolMap(torch.autograd.Function):
    """x -> (x, mean over the map).

    x is passed through so that its gradient arrives here as one map, made for no one else; the
    mean's gradient is added to that very map, instead of writing another and their sum.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x.mean((2, 3), dtype=wide(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor) -> Tensor:
        return grad.add_((grad_mean / (grad.shape[2] * grad.shape[3]))[:, :, None, None])


class _Gate(torch.autograd.Function):
    """x * (1 + sigmoid(channel * position)), or channel + position; backward computes the gate
    again.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, channel: Tensor, position: Tensor, multiply: bool) -> Tensor:
        ctx.save_for_backward(x, channel, position)
        ctx.multiply = multiply
        out = torch.empty_like(x)
        for part, along, place, result in split(x, channel, position, out):
            _gate(along, place, multiply, result)
            result.mul_(part).add_(part)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, channel, position = ctx.saved_tensors
        out, grad_channel, grad_position = (
            torch.empty_like(tensor) for tensor in (x, channel, position)
        )
        operands = split(grad, x, channel, position, out, grad_channel, grad_position)
        for g, part, along, place, result, result_channel, result_position in operands:
            _gate(along, place, ctx.multiply, result)
            inner = g * part
            torch.ops.aten.sigmoid_backward.grad_input(inner, result, grad_input=inner)
            result.mul_(g).add_(g)
            if ctx.multiply:
                torch.sum(inner * place, (2, 3), keepdim=True, out=result_channel)
                torch.sum(inner.mul_(along), 1, keepdim=True, out=result_position)
            else:
                torch.sum(inner, (2, 3), keepdim=True, out=result_channel)
                torch.sum(inner, 1, keepdim=True, out=result_position)
        return out, grad_channel, grad_position, None


def _gate(channel: Tensor, position: Tensor, multiply: bool, out: Tensor) -> None:
    """Write sigmoid(channel * position), or of their sum, to out."""
    (torch.mul if multiply else torch.add)(channel, position, out=out).sigmoid_()
