"""MobileOneBlock: convolutions beside each other that training sees apart.

Vasu et al., "MobileOne: An Improved One Millisecond Mobile Backbone", CVPR 2023, section 3.2 and
figure 3. Attribute names are parts of state-dict keys.
"""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor, nn


class MobileOneBlock(nn.Module):
    """The sum of several convolutions of one kind, a 1x1 one and the input, each with a norm; ReLU.

    The input is there where channels and size stay, the 1x1 convolution where the kernel is larger.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: side, odd.
        stride: 1 or 2.
        padding: half the kernel, the only one that keeps the branches in step.
        dilation: 1, for the same reason.
        groups: of channels.
        branches: how many convolutions of the kernel's side there are.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        branches: int = 1,
    ) -> None:
        super().__init__()
        around = kernel // 2
        if kernel % 2 == 0 or stride not in (1, 2) or padding not in (None, around):
            raise ValueError(
                f"kernel {kernel}, stride {stride}, padding {padding}: takes an odd kernel, a"
                " stride of 1 or 2, and half the kernel as padding"
            )
        if dilation != 1:
            raise ValueError(f"dilation {dilation}: must be 1")

        def branch(side: int) -> nn.Sequential:
            part = nn.Sequential()
            padding = side // 2
            conv = nn.Conv2d(inputs, outputs, side, stride, padding, groups=groups, bias=False)
            part.add_module("conv", conv)
            part.add_module("bn", nn.BatchNorm2d(outputs))
            return part

        alone = inputs == outputs and stride == 1
        self.rbr_skip = nn.BatchNorm2d(inputs) if alone else None
        self.rbr_conv = nn.ModuleList(branch(kernel) for _ in range(branches))
        self.rbr_scale = branch(1) if kernel > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/s, W/s], rounded up."""
        others = (part for part in (self.rbr_scale, self.rbr_skip) if part is not None)
        return reduce(torch.add, (part(x) for part in (*self.rbr_conv, *others))).relu()
