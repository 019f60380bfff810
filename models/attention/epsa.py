"""EPSA, pyramid split attention: four convolutions of growing side, whose channels compete.

Zhang, Zu, Lu, Zou and Meng, "EPSANet: An Efficient Pyramid Squeeze Attention Block on Convolutional
Neural Network", ACCV 2022, https://arxiv.org/abs/2105.14447, equations 2 to 9. With C' output
channels, convolutions from all C channels to C' / 4, and the gate of SE, which all of them share,

    F_i = conv of side k_i, in g_i groups, of x                  i = 1 to 4, k = 3, 5, 7, 9
    Z_i = sigmoid(fc2(relu(fc1(mean of F_i))))
    a_i = softmax over i of Z_i, for each of the C' / 4 channels
    out = [a_4 F_4, a_3 F_3, a_2 F_2, a_1 F_1]

Because each Z is between 0 and 1, each a is between 0.11 and 0.48.

[B, C, H, W] -> [B, C', H, W], or half of H and W, rounded up, with stride 2. It replaces x.

Choices: as in the authors' code, the four parts are concatenated from the last to the first. Groups
are 1, 4, 8 and 16, or the most below that divide both C and C' / 4, and the gate has C' / 64 hidden
values, at least 1; the authors' code fails unless C' is a multiple of 64. This is not PSA of
YOLOv10, nor the polarized attention of that abbreviation.

Cost: C C' / 4 times the sum of k_i^2 / g_i, 433,732 parameters at 256 channels. It is bound by
arithmetic, not by memory.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -10.26 (-16.41 to -4.12), 3 seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.attention._checks import check_count, check_odd, choose_divisor, is_count
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast.gates import pool, scale

SCALES = 4
USUAL_SIDES, USUAL_SPLITS = (3, 5, 7, 9), (1, 4, 8, 16)
SQUEEZE = 16  # channels of a part for each hidden value of the gate


class _SharedGate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // SQUEEZE)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, means: Tensor) -> Tensor:
        """[N, C' / 4, 1, 1] -> [N, C' / 4, 1, 1], between 0 and 1."""
        return self.fc2(self.fc1(means).relu()).sigmoid()


@register("PSAModule")
class EPSA(nn.Module):
    """Replaces x by four convolutions of it, weighted against each other.

    Args:
        channels: C, of the map.
        out_channels: C', a multiple of 4; None means as many as the input has.
        conv_kernels: sides of the four kernels in positions, odd.
        conv_groups: groups of each of the four convolutions; None means 1, 4, 8 and 16 or, where
            they are no divisors of both C and C' / 4, the largest below.
        stride: 1, or 2 to halve the map.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("conv_kernels", "conv_groups")

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        conv_kernels: Sequence[int] = USUAL_SIDES,
        conv_groups: Sequence[int] | None = None,
        stride: int = 1,
    ) -> None:
        super().__init__()
        width = channels if out_channels is None else check_count("out_channels", out_channels)
        if width % SCALES:
            raise ValueError(
                f"needs a multiple of {SCALES} output channels, but {width} were given"
            )
        if check_count("stride", stride) > 2:
            raise ValueError(f"stride={stride}: must be 1 or 2")
        if width != channels:
            self.out_channels = width
        part, self.stride = width // SCALES, stride
        splits = _choose_splits(conv_groups, channels, part)
        for index, side in enumerate(_four("conv_kernels", conv_kernels)):
            check_odd("conv_kernels", side)
            conv = nn.Conv2d(
                channels, part, side, stride, side // 2, groups=splits[index], bias=False
            )
            self.add_module(f"conv_{index + 1}", conv)
        self.se = _SharedGate(part)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C', H, W], with stride 2 [B, C', ceil(H / 2), ceil(W / 2)]."""
        convs = [self.get_submodule(f"conv_{index}") for index in range(SCALES, 0, -1)]
        parts = torch.cat([conv(x) for conv in convs], 1)  # [B, C', H, W]
        means = pool(parts).unflatten(1, (SCALES, -1))  # [B, 4, C' / 4, 1, 1]
        gates = self.se(means.flatten(0, 1)).unflatten(0, (-1, SCALES))
        shares = gates.softmax(1, dtype=wide(x.dtype)).flatten(1, 2)  # [B, C', 1, 1]
        return scale(parts, shares).to(x.dtype)

    def extra_repr(self) -> str:
        return f"stride={self.stride}"


def _four(name: str, values: object) -> list[int]:
    """The values if they are four whole numbers from 1 on; else ValueError with the name."""
    found = list(values) if isinstance(values, (list, tuple)) else []
    if len(found) != SCALES or not all(map(is_count, found)):
        raise ValueError(f"{name}={values!r}: must be a list of {SCALES} whole numbers from 1 on")
    return found


def _choose_splits(values: Sequence[int] | None, channels: int, part: int) -> list[int]:
    """Groups of the four convolutions from `channels` to `part` channels."""
    both = math.gcd(channels, part)
    what = f"both the {channels} channels and the {part} of each convolution"
    given = [None] * SCALES if values is None else _four("conv_groups", values)
    return [
        choose_divisor("conv_groups", one, both, usual, what)
        for one, usual in zip(given, USUAL_SPLITS, strict=True)
    ]
