"""Blocks of EfficientNetV2: its stem, MBConv and FusedMBConv.

Tan and Le, "EfficientNet", ICML 2019, and "EfficientNetV2", ICML 2021, section 3.2 and figure 2.
Rows write [c2, kernel, stride, expansion, share of the gate's hidden channels]. Attribute names are
parts of state-dict keys.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

NORM_EPS = 1e-3  # of all norms, as in the papers' programs


class _ConvNorm(nn.Sequential):
    """A convolution, a norm, and SiLU unless act is off."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        act: bool = True,
    ) -> None:
        padding = (kernel - 1) // 2
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        norm = nn.BatchNorm2d(outputs, eps=NORM_EPS)
        super().__init__(conv, norm, *([nn.SiLU()] if act else []))


class EfficientStem(_ConvNorm):
    """`stem`: a convolution, a norm and SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride)


class _Gate(nn.Module):
    """Squeeze and excitation with SiLU, whose hidden channels are given."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, hidden, 1)
        self.conv_expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.conv_expand(F.silu(self.conv_reduce(means))).sigmoid()


def _gates(inputs: int, hidden: int, se_ratio: float) -> list[nn.Module]:
    return [_Gate(hidden, max(int(inputs * se_ratio), 1))] if se_ratio > 0 else []


class _Chain(nn.Module):
    """Steps one after another; the input is added where residual is set."""

    def __init__(self, steps: list[nn.Module], residual: bool) -> None:
        super().__init__()
        self.steps, self.residual = nn.Sequential(*steps), residual

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s]."""
        y = self.steps(x)
        return x + y if self.residual else y


class MBConv(_Chain):
    """A 1x1 convolution that expands, a depth-wise one, a gate, and a 1x1 one that projects.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side of the depth-wise convolution.
        stride: of it; the input is added where it is 1 and the channels agree.
        expansion: hidden channels as a multiple of the inputs; 1 leaves out the first convolution.
        se_ratio: hidden channels of the gate as a share of the inputs; 0 for no gate.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        expansion: float = 4,
        se_ratio: float = 0.25,
    ) -> None:
        hidden = int(inputs * expansion)
        expand = [_ConvNorm(inputs, hidden)] if expansion != 1 else []
        deep = _ConvNorm(hidden, hidden, kernel, stride, hidden)
        end = _ConvNorm(hidden, outputs, act=False)
        steps = [*expand, deep, *_gates(inputs, hidden, se_ratio), end]
        super().__init__(steps, stride == 1 and inputs == outputs)


class FusedMBConv(_Chain):
    """MBConv with one full convolution instead of the first two; an expansion of 1 leaves only it.

    Arguments are those of MBConv.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        expansion: float = 4,
        se_ratio: float = 0,
    ) -> None:
        hidden = int(inputs * expansion)
        gates = _gates(inputs, hidden, se_ratio)
        if expansion == 1:
            steps = [*gates, _ConvNorm(inputs, outputs, kernel, stride)]
        else:
            start = _ConvNorm(inputs, hidden, kernel, stride)
            steps = [start, *gates, _ConvNorm(hidden, outputs, act=False)]
        super().__init__(steps, stride == 1 and inputs == outputs)
