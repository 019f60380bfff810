"""The block of YOLO12: A2C2f, the residual aggregation of area attention.

Tian, Ye and Doermann, "YOLOv12: Attention-Centric Real-Time Object Detectors", 2025,
https://arxiv.org/abs/2502.12524, section 3.3. As in models/common.py, attribute names are parts of
state-dict keys. models/attention/area.py has the attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention.area import ABlock
from models.blocks.v8 import C3k
from models.common import Conv

FIRST_GAMMA = 0.01  # initial weight of the block's own part where it adds its input


class A2C2f(nn.Module):
    """A chain of links whose outputs are all concatenated, as in C2f, over one part of channels.

    Args:
        inputs: channels.
        outputs: channels.
        repeats: number of links.
        a2: whether a link is two area attention blocks; else it is a C3k of two bottlenecks.
        area: number of bands of the map that attention stays within, for a2.
        residual: whether the input is added, for a2; the block is multiplied by a learned number
            for each channel then. It needs as many outputs as inputs.
        mlp_ratio: hidden channels of the attention blocks' mlp, as a share.
        expansion: channels of a link, as a share of the outputs. There is one head for 32 of them.

    Raises:
        ValueError: residual is set with a2 for other outputs than inputs.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        a2: bool = True,
        area: int = 1,
        residual: bool = False,
        mlp_ratio: float = 2.0,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(outputs * expansion)
        self.cv1 = Conv(inputs, hidden)
        self.cv2 = Conv((1 + repeats) * hidden, outputs)
        if a2 and residual and inputs != outputs:
            raise ValueError(
                f"adds its input, but gets {inputs} channels and should give {outputs}"
            )
        self.gamma = nn.Parameter(torch.full((outputs,), FIRST_GAMMA)) if a2 and residual else None

        def link() -> nn.Module:
            if not a2:
                return C3k(hidden, hidden, 2)
            return nn.Sequential(
                *(ABlock(hidden, mlp_ratio=mlp_ratio, area=area) for _ in range(2))
            )

        self.m = nn.ModuleList(link() for _ in range(repeats))

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, H, W]."""
        parts = [self.cv1(x)]
        for link in self.m:
            parts.append(link(parts[-1]))
        out = self.cv2(torch.cat(parts, dim=1))
        return out if self.gamma is None else x + self.gamma.view(-1, 1, 1) * out
