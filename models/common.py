"""The blocks of the base graphs: convolution, bottleneck, C3, SPPF, concatenation.

models/yolo.py builds them from the rows of a YAML. Attribute names are parts of state-dict keys, so
they are fixed. Every block maps [B, C, H, W] to [B, C', H', W'] and keeps the memory format of its
input. Parameters of the constructors that have one meaning throughout: inputs and outputs are
channels, kernel is the side of a convolution, repeats the number of inner blocks, expansion the
inner channels as a share of the outputs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from models.activations import SiLU
from models.norm_silu import norm_act
from models.spelling import short_names
from models.weight_gradient import convolve

Sides = int | tuple[int, int] | list[int]  # one number for both, or (height, width)


def autopad(kernel: Sides, padding: Sides | None = None, dilation: int = 1) -> Sides:
    """The padding of a convolution.

    Args:
        kernel: side of the kernel.
        padding: the padding wanted, None for the one that keeps height and width at stride 1.
        dilation: of the kernel.

    Returns:
        The padding in pixels.
    """
    if padding is not None:
        return padding
    if isinstance(kernel, int):
        return (dilation * (kernel - 1) + 1) // 2
    return [(dilation * (side - 1) + 1) // 2 for side in kernel]


class Conv(nn.Module):
    """Convolution without bias, batch norm, activation.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side.
        stride: along both sides, or along each.
        padding: None for the one that keeps the size at stride 1.
        groups: of channels.
        dilation: of the kernel.
        act: True for the activation of the whole network (SiLU unless its YAML has another), False
            for none, or a module.
    """

    default_act = SiLU()  # classes of forks that derive from this one read it
    own_activation = False

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sides = 1,
        stride: Sides = 1,
        padding: Sides | None = None,
        groups: int = 1,
        dilation: int | nn.Module = 1,
        act: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        dilation, act = _dilation_and_act(dilation, act)
        sizes: dict[str, Any] = {
            "kernel_size": kernel,
            "stride": stride,
            "padding": autopad(kernel, padding, dilation),
            "dilation": dilation,
        }
        self.conv = nn.Conv2d(inputs, outputs, groups=groups, bias=False, **sizes)
        self.bn: nn.BatchNorm2d | None = nn.BatchNorm2d(outputs)
        # share_activation replaces only the activations that no row asked for.
        self.own_activation = act is True
        self.act = SiLU() if act is True else act if isinstance(act, nn.Module) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H', W']."""
        x = convolve(self.conv, x)
        return self.act(x) if self.bn is None else norm_act(self.bn, self.act, x)

    def forward_fuse(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H', W'] without the norm, for classes of forks."""
        return self.act(self.conv(x))

    def fuse(self) -> None:
        """Fold the batch norm into the convolution. Outputs in eval mode stay the same."""
        if self.bn is not None:
            self.conv = fuse_conv_bn(self.conv, self.bn)
            self.bn = None


def _dilation_and_act(dilation: Any, act: Any) -> tuple[int, bool | nn.Module]:
    """Both; before YOLOv5's release 7.0 the activation stood in the place of the dilation."""
    return (1, dilation) if isinstance(dilation, (bool, nn.Module)) else (dilation, act)


def fuse_conv_bn(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    """Make a convolution equal bn(conv(x)) in eval mode.

    W' = W s and b' = beta + (b - mean) s with s = gamma / sqrt(var + eps). conv is changed in place
    and returned.
    """
    assert bn.running_mean is not None
    assert bn.running_var is not None
    with torch.no_grad():
        scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
        bias = torch.zeros_like(bn.running_mean) if conv.bias is None else conv.bias
        conv.weight = nn.Parameter(conv.weight * scale.reshape(-1, 1, 1, 1), requires_grad=False)
        conv.bias = nn.Parameter(bn.bias + (bias - bn.running_mean) * scale, requires_grad=False)
    return conv


def share_activation(network: nn.Module, activation: nn.Module) -> None:
    """Give one activation to all Conv blocks that did not ask for one of their own."""
    for block in network.modules():
        if isinstance(block, Conv) and block.own_activation:
            block.act = activation


class DWConv(Conv):
    """Depth-wise convolution, with as many groups as inputs and outputs allow.

    Unlike Conv's, its fifth argument is the dilation.
    """

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Sides = 1,
        stride: Sides = 1,
        dilation: int | nn.Module = 1,
        act: bool | nn.Module = True,
    ) -> None:
        dilation, act = _dilation_and_act(dilation, act)
        groups = math.gcd(inputs, outputs)
        super().__init__(inputs, outputs, kernel, stride, None, groups, dilation, act)


class Residual(nn.Module):
    """A bottleneck: a branch to which the block may add its input.

    Where a row asks for attention inside it, models/graph/attend.py builds `attention` for the
    branch's output channels. It acts on the branch before the addition.
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.attention: nn.Module | None = None

    def attend(self, branch: Tensor) -> Tensor:
        """[B, outputs, H, W] -> the same shape."""
        return branch if self.attention is None else self.attention(branch)


class Bottleneck(Residual):
    """A 1x1 convolution to int(outputs * expansion) channels, then a 3x3 one.

    The input is added if shortcut is set and the channels agree.
    """

    first_kernel = 1

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__(outputs)
        hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, hidden, self.first_kernel)
        self.cv2 = Conv(hidden, outputs, 3, groups=groups)
        self.add = self.residual = bool(shortcut) and inputs == outputs

    def resized(self, expansion: float) -> Bottleneck:
        """A new bottleneck that differs only in the channels between its convolutions."""
        inputs, groups = self.cv1.conv.in_channels, self.cv2.conv.groups
        return type(self)(inputs, self.outputs, self.residual, groups, expansion)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        y = self.attend(self.cv2(self.cv1(x)))
        return x + y if self.residual else y


class C3(nn.Module):
    """Cross-stage-partial block: half of the channels pass bottlenecks, half go straight.

    It has three convolutions besides those of the bottlenecks.
    """

    merge = "cv3"  # the convolution that reads the concatenation; models/graph/inside.py asks

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(outputs * expansion)
        self.cv1, self.cv2 = Conv(inputs, hidden), Conv(inputs, hidden)
        self.cv3 = Conv(2 * hidden, outputs)
        self.m = self.make_inner(hidden, repeats, shortcut, groups)

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """The first half's branch: [B, hidden, H, W] -> the same shape. Variants override it."""
        return nn.Sequential(
            *(Bottleneck(hidden, hidden, shortcut, groups, expansion=1.0) for _ in range(repeats))
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        halves = [self.m(self.cv1(x)), self.cv2(x)]
        return self.cv3(torch.cat(halves, dim=1))


class SPPF(nn.Module):
    """Spatial pyramid pooling by one max pool of side k, applied three times.

    The results equal pools of sides k, 2k-1 and 3k-2.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the pool.
        pools: how many times it is applied; None for three.
        shortcut: whether the input is added, where the channels agree.
        act: of the first convolution, as in Conv; None for the one of the program that wrote the
            row: rows that state `pools` are of Ultralytics' later releases, which have none.
    """

    merge = "cv2"

    @short_names
    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 5,
        pools: int | None = None,
        shortcut: bool = False,
        act: bool | None = None,
    ) -> None:
        super().__init__()
        self.pools = 3 if pools is None else pools
        self.cv1 = Conv(inputs, inputs // 2, act=pools is None if act is None else act)
        self.cv2 = Conv(inputs // 2 * (1 + self.pools), outputs)
        self.m = nn.MaxPool2d(kernel_size=kernel, stride=1, padding=kernel // 2)
        self.residual = bool(shortcut) and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        # A pool of a pool is a larger pool, so three small ones cost less than three large ones.
        levels = [self.cv1(x)]
        for _ in range(self.pools):
            levels.append(self.m(levels[-1]))
        y = self.cv2(torch.cat(levels, dim=1))
        return x + y if self.residual else y


class Concat(nn.Module):
    """Join maps of equal height and width along the channels."""

    def __init__(self, dimension: int = 1) -> None:
        super().__init__()
        if dimension != 1:
            raise ValueError(f"joins channels, which is dimension 1, not {dimension}; write [1]")
        self.d = dimension

    def forward(self, maps: list[Tensor]) -> Tensor:
        """A list of [B, C_i, H, W] -> [B, sum of C_i, H, W]."""
        return torch.cat(maps, dim=self.d)
