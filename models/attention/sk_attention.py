"""SKAttention, the selective kernel of YOLO's tutorials: convolutions of several sizes, weighted
per channel.

The idea is that of Li, Wang, Hu and Yang, "Selective Kernel Networks", CVPR 2019,
https://arxiv.org/abs/1903.06586; models/attention/sk.py is the paper's module. This is the form of
the collection External-Attention, which all public YOLO files with the name SKAttention use:

    U_i = relu(norm(conv_i x)), one for each kernel
    z = W mean of (sum of U_i) over the map + b, max(C / reduction, L) values
    a_i = softmax over i of (W_i z + b_i), for every channel
    out = sum of a_i U_i

It differs from the paper by undilated kernels, dense convolutions with biases, and a z without norm
and ReLU. It replaces x rather than scales it.

Cost: C C times the sum of squared kernels, over groups: 5.55 million parameters at 256 channels.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- SKAttention at neck.P5, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.72
  (-6.85 to +5.41), 3 seeds.
- SKAttention at neck.P5, bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning
  rate, identity start: no evidence, -1.48 (-4.49 to +1.54), 3 seeds.
- SKAttention at neck.P5, neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -1.73
  (-5.12 to +1.66), 3 seeds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.attention._checks import check_count, check_odd, choose_divisor
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast.gates import pool


@register()
class SKAttention(nn.Module):
    """Mixes convolutions of several sizes in proportions that each channel chooses.

    Args:
        channels: of the map.
        kernels: sides of the convolutions, odd.
        reduction: channels for each value of z.
        group: groups of the convolutions, a divisor of the channels.
        L: the fewest values of z.

    Raises:
        ValueError: An option is not such a number, or kernels is no list of odd numbers.
    """

    tutorial_order = ("kernels", "reduction", "group", "L")

    def __init__(
        self,
        channels: int,
        *,
        kernels: Sequence[int] = (1, 3, 5, 7),
        reduction: int = 16,
        group: int = 1,
        L: int = 32,
    ) -> None:
        super().__init__()
        if not isinstance(kernels, (list, tuple)) or not kernels:
            raise ValueError(f"kernels={kernels!r}: must be a list of odd numbers, such as [3, 5]")
        sides = [check_odd("kernels", side) for side in kernels]
        choose_divisor("group", group, channels, 1, f"the {channels} channels")
        width = max(channels // check_count("reduction", reduction), check_count("L", L))
        self.convs = nn.ModuleList(_Path(channels, side, group) for side in sides)
        self.fc = nn.Linear(channels, width)
        self.fcs = nn.ModuleList(nn.Linear(width, channels) for _ in sides)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        paths = [path(x) for path in self.convs]  # [B, C, H, W] each, U_i
        total = pool(sum(paths[1:], paths[0])).flatten(1)  # [B, C]
        votes = self.fc(total.to(self.fc.weight.dtype))  # [B, width], z
        logits = torch.stack([layer(votes) for layer in self.fcs])  # [kernels, B, C]
        shares = logits.to(wide(x.dtype)).softmax(0).to(x.dtype)  # a_i
        out = paths[0] * shares[0][:, :, None, None]
        for path, share in zip(paths[1:], shares[1:], strict=True):
            out = out + path * share[:, :, None, None]
        return out.to(x.dtype)


class _Path(nn.Module):
    def __init__(self, channels: int, side: int, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, side, padding=side // 2, groups=groups)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return apply_batch_norm(self.bn, self.conv(x)).relu_()
