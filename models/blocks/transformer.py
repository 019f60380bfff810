"""C3 with attention in place of the bottlenecks' 3x3 convolutions.

BoT3 has self-attention (Srinivas et al., "Bottleneck Transformers for Visual Recognition", CVPR
2021), CoT3 contextual attention in the form of YOLO's public code (models/attention/cot.py). As in
models/common.py, attribute names are parts of state-dict keys, and blocks map [B, inputs, H, W] to
[B, outputs, H, W].
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention.cot import CoTAttention
from models.attention.mhsa import MHSA
from models.common import C3, Conv, Residual


class BottleneckTransformer(Residual):
    """A 1x1 convolution, then self-attention without a code of position, with a residual.

    fc1 is never used and has no gradient. It is here because weights of public graphs have it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.cv1 = Conv(channels, channels)
        self.cv2 = nn.Sequential(MHSA(channels))
        self.fc1 = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> the same shape."""
        return x + self.attend(self.cv2(self.cv1(x)))


class BoT3(C3):
    """C3 with self-attention in its bottlenecks.

    width and height, the size of the map, are in the rows of public graphs, where a code of
    position might need them; none does, and any map will do. Raises ValueError for an
    inner_expansion other than 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        repeats: int = 1,
        expansion: float = 0.5,
        inner_expansion: float = 1,
        width: int = 20,
        height: int = 20,
    ) -> None:
        if inner_expansion != 1:
            raise ValueError(
                f"the third argument, {inner_expansion!r}, must be 1: the bottlenecks add their"
                " input, so they keep its channels"
            )
        super().__init__(inputs, outputs, repeats, expansion=expansion)

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(BottleneckTransformer(hidden) for _ in range(repeats)))


class CoTBottleneck(Residual):
    """A 1x1 convolution, then contextual attention; the input is added if shortcut is set."""

    def __init__(self, channels: int, shortcut: bool = True) -> None:
        super().__init__(channels)
        self.cv1 = Conv(channels, channels)
        self.cv2 = CoTAttention(channels)
        self.residual = bool(shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, H, W] -> the same shape."""
        y = self.attend(self.cv2(self.cv1(x)))
        return x + y if self.residual else y


class CoT3(C3):
    """C3 with contextual attention in its bottlenecks, which do not use the argument groups."""

    def make_inner(self, hidden: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        return nn.Sequential(*(CoTBottleneck(hidden, shortcut) for _ in range(repeats)))
