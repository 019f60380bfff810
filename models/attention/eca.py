"""ECA: a weight for every channel, from the means of that channel and its neighbours.

Wang, Wu, Zhu, Li, Zuo and Hu, "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural
Networks", CVPR 2020, https://arxiv.org/abs/1910.03151. The output is x sigmoid(conv(z)), with z the
mean of each channel over H and W and a convolution of k taps along the channels, which all share
(equations 7 to 9). Equation 12 gives k = |log2(C) / 2 + 1 / 2| as the nearest odd number. The
authors' code rounds it down and then up to odd: 3 for C = 16 to 64, 5 for 128 to 1024. [B, C, H, W]
keeps its shape.

Choices: k follows C, as in the paper, where the class of the authors' code has 3 as its default;
`k_size` sets it. There is no bias, as in the code. Channels before the first and after the last
count as 0.

Cost: k parameters, 3 map sizes of memory traffic forward and 5 to 7 backward; x alone is kept for
backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -3.20 (-10.31 to +3.90), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.43 (-4.44 to +1.58), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.60 (-3.99 to +2.79), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.63 (-1.51 to +2.78), 3 seeds.
- ECA at inside.C3, bccd, fine-tuned from COCO, 8 epochs, inside C3, paper start: no evidence, -0.67
  (-3.53 to +2.18), 3 seeds.
"""

from __future__ import annotations

import math
import warnings

from torch import Tensor, nn

from models.attention._checks import check_flag, is_count
from models.attention._registry import register
from models.attention.fast.gates import pool, scale


@register(
    "ECAAttention", "ECALayer", "ECABlock", "ECAModule", "eca_layer", "EfficientChannelAttention"
)
class ECA(nn.Module):
    """Scales each channel by a gate between 0 and 1.

    Args:
        channels: C, of the map.
        k_size: number of taps of the convolution, which is odd; None means the paper's rule for
            the number of channels.
        bias: whether the convolution has a bias, as in some copies.

    Raises:
        ValueError: k_size is even or no whole number, or bias is not true or false.

    Warns of a k_size whose outer taps never meet a channel.
    """

    tutorial_order = ("k_size",)

    def __init__(self, channels: int, *, k_size: int | None = None, bias: bool = False) -> None:
        super().__init__()
        k_size = adaptive_size(channels) if k_size is None else k_size
        if not is_count(k_size) or k_size % 2 == 0:
            raise ValueError(f"k_size={k_size!r}: must be an odd whole number from 1 on, such as 3")
        if k_size > 2 * channels - 1:
            warnings.warn(
                f"k_size={k_size}: of {channels} channels only {2 * channels - 1} taps can meet"
                f" one; write k_size: {adaptive_size(channels)}",
                stacklevel=2,
            )
        self.conv = nn.Conv1d(1, 1, k_size, padding=k_size // 2, bias=check_flag("bias", bias))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        z = pool(x).flatten(2).transpose(1, 2)  # [B, 1, C]: the channels are a sequence
        gate = self.conv(z).sigmoid().transpose(1, 2)  # [B, C, 1], equation 9
        return scale(x, gate[:, :, :, None])


def adaptive_size(channels: int) -> int:
    """The paper's k: (log2(C) + 1) / 2 rounded down, and then up to an odd number."""
    return int((math.log2(channels) + 1) / 2) | 1
