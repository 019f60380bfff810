"""GAM: a gate per channel and pixel from all channels of the pixel, then one from 7x7 pixels.

Liu, Shao and Hoffmann, "Global Attention Mechanism: Retain Information to Enhance Channel-Spatial
Interactions", 2021, https://arxiv.org/abs/2112.05561 (equations 1 and 2, figures 2 and 3; G is
Global, not Gated). With h = C // rate hidden channels, per pixel:

    y = x * sigmoid(W2 relu(W1 x))                      W1 [h, C], W2 [C, h], with biases
    out = y * sigmoid(norm(conv(relu(norm(conv(y))))))  7x7 convolutions C -> h -> C, batch norm

[B, C, H, W] -> [B, C, H, W]. 2 C h + h + C parameters in the first gate and 98 C h + 3 h + 3 C in
the second (the 98 divided by rate if grouped): 1.6 million at C = 256, 100 times the cost of the
others, and bound by arithmetic, not by memory. The output of a new module is about a quarter of its
input. Kept for backward: 5.8 maps with rate 4.

Where code and paper differ: the paper's figure ends the channel branch with a sigmoid; the
published code, and tutorials after it, multiply by the number itself, so that the output of a new
module is next to nothing (channel_sigmoid=False is for models that were trained so). The
paper's ResNet-50 has grouped convolutions with a channel shuffle and does not say where; as in
public code the second gate is shuffled, in 4 groups. Biases of the 7x7 convolutions have no
gradient in train mode, since the batch norm after them removes them.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -2.08 (-8.18 to +4.02), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.87 (-3.88 to +2.13), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -1.58 (-4.97 to +1.81), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.72 (-1.48 to +2.92), 3 seeds.
- bccd, from scratch, 30 epochs, paper start: no evidence, -1.12 (-3.49 to +1.25), 3 seeds.
- bccd, from scratch, 12 epochs, paper start: no evidence, +0.43 (-5.73 to +6.59), 5 seeds.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_flag, check_reduction
from models.attention._numerics import apply_batch_norm
from models.attention._registry import register

SHUFFLED = 4  # groups of the channel shuffle, which do not depend on the rate


@register("GAM_Attention", "GAMAttention", "GAMattention")
class GAM(nn.Module):
    """Scales each value by a gate from its pixel, then by one from its neighbourhood.

    A single value per channel in train mode is normalised by the running statistics.

    Args:
        channels: C, of the map.
        rate: both gates have max(1, C // rate) hidden channels.
        channel_sigmoid: whether the channel branch ends in a sigmoid.
        group: whether both 7x7 convolutions have `rate` groups, and the channels of the gate are
            shuffled.
        padding_mode: of both, "zeros", or "replicate" as in one public copy.

    Raises:
        ValueError: rate is not a whole number above 0 up to the channels (or 4), or group is set
            and the channels are not divisible by rate * rate and by 4.
    """

    tutorial_order = ("rate",)
    other_orders = (("group", "rate"),)

    def __init__(
        self,
        channels: int,
        *,
        rate: int = 4,
        channel_sigmoid: bool = True,
        group: bool = False,
        padding_mode: Literal["zeros", "replicate"] = "zeros",
    ) -> None:
        super().__init__()
        check_reduction("rate", rate, channels, 4)
        check_flag("channel_sigmoid", channel_sigmoid)
        check_flag("group", group)
        if group and (channels % rate**2 or channels % SHUFFLED):
            raise ValueError(
                f"group=True: needs channels that divide by rate * rate = {rate**2} and by"
                f" {SHUFFLED}, and {channels} do not; write group: false, or another rate"
            )
        if padding_mode not in ("zeros", "replicate"):
            raise ValueError(f"padding_mode={padding_mode!r}: must be zeros or replicate")
        hidden = max(1, channels // rate)
        convolution = partial(
            nn.Conv2d,
            kernel_size=7,
            padding=3,
            groups=rate if group else 1,
            padding_mode=padding_mode,
        )
        self.channel_sigmoid, self.group = channel_sigmoid, group
        self.channel_attention = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial_attention = nn.Sequential(
            convolution(channels, hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            convolution(hidden, channels),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        squeeze, _, excite = self.channel_attention
        gate = _linear(excite, _linear(squeeze, x).relu_())  # [B, C, H, W]
        y = x * (gate.sigmoid_() if self.channel_sigmoid else gate).to(x.dtype)  # equation 1
        conv1, norm1, relu, conv2, norm2 = self.spatial_attention
        hidden = relu(_batch_norm(norm1, conv1(y)))  # [B, h, H, W]
        gate = _batch_norm(norm2, conv2(hidden)).sigmoid_().to(x.dtype)  # [B, C, H, W]
        return _times_shuffled(y, gate) if self.group else y * gate  # equation 2

    def extra_repr(self) -> str:
        return f"channel_sigmoid={self.channel_sigmoid}, group={self.group}"


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer at each pixel, as a 1x1 convolution.

    nn.Linear would need a copy in another layout.
    """
    assert isinstance(layer, nn.Linear)
    return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)


def _batch_norm(norm: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(norm, (nn.BatchNorm2d, nn.SyncBatchNorm))
    return apply_batch_norm(norm, x)


def _times_shuffled(y: Tensor, gate: Tensor) -> Tensor:
    """y times the gate, whose channel j * C / 4 + i goes to 4 i + j.

    The shuffle is a view, so that nothing is copied.
    """
    shuffled = gate.unflatten(1, (SHUFFLED, -1)).transpose(1, 2)
    return (y.unflatten(1, (-1, SHUFFLED)) * shuffled).flatten(1, 2)
