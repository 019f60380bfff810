"""GAM: a gate per channel and pixel from all channels of the pixel, then one from a 7x7
neighbourhood of all channels.

Liu, Shao and Hoffmann, "Global Attention Mechanism: Retain Information to Enhance Channel-Spatial
Interactions", 2021, https://arxiv.org/abs/2112.05561 (equations 1 and 2, figures 2 and 3 there; G
is Global, not Gated). With h = C // rate hidden channels, per pixel:

    y = x * sigmoid(W2 relu(W1 x))                      W1 [h, C], W2 [C, h], with biases
    out = y * sigmoid(norm(conv(relu(norm(conv(y))))))  7x7 convolutions C -> h -> C, batch norm

[B, C, H, W] -> [B, C, H, W]. 2 C h + h + C parameters in the first gate and 98 C h + 3 h + 3 C in
the second (the 98 divided by rate if grouped): 1.6 million at C = 256, 100 times the others' cost
and bound by computing, not by memory. A new module passes about a quarter of its input on. Kept for
backward: 5.5 maps with rate 4.

Where code and paper differ: the paper's figure ends the channel branch with a sigmoid; the
published code, and tutorials after it, multiply by the bare number, so that a new module passes
next to nothing of its input on (channel_sigmoid=False: for models that were trained so). The
paper's ResNet-50 has grouped convolutions with a channel shuffle and does not say where; as in
public code the second gate is shuffled, in 4 groups. Biases of the 7x7 convolutions have no
gradient in train mode, being removed by the batch norm behind them.
Verdict: no evidence on bccd in the neck of yolov5n, 30 epochs, 3 seeds:
-1.12 points of mAP50-95 (95 % interval -3.49 to +1.25).
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._lean import normalise
from models.attention._registry import register

SHUFFLED = 4  # groups of the channel shuffle, whatever the rate


@register("GAM_Attention", "GAMAttention", "GAMattention")
class GAM(nn.Module):
    """rate: by how much hidden channels are fewer. channel_sigmoid: whether the channel branch ends
    in a sigmoid.

    group: split both 7x7 convolutions into `rate` groups and shuffle the gate's channels. Batch
    norm has its usual eps 1e-5 and momentum 0.1; a single value per channel in train mode is
    normalised with the running statistics.

    Raises ValueError for a rate that is not a whole number above 0 up to the channels (or 4), and
    for group where channels do not divide by rate * rate and by 4.
    """

    tutorial_order = ("rate",)

    def __init__(
        self, channels: int, *, rate: int = 4, channel_sigmoid: bool = True, group: bool = False
    ) -> None:
        super().__init__()
        if not isinstance(rate, int) or isinstance(rate, bool) or rate < 1:
            raise ValueError(f"rate={rate!r}: must be a whole number from 1 on, such as 4")
        for name, value in (("channel_sigmoid", channel_sigmoid), ("group", group)):
            if not isinstance(value, bool):
                raise ValueError(f"{name}={value!r}: must be true or false")
        if group and (channels % rate**2 or channels % SHUFFLED):
            raise ValueError(
                f"group=True: needs channels that divide by rate * rate = {rate**2} and by"
                f" {SHUFFLED}, and {channels} do not; write group: false, or another rate"
            )
        if rate > max(channels, 4):
            raise ValueError(
                f"rate={rate}: is more than the {channels} channels; write {{rate: 4}}"
            )
        hidden = max(1, channels // rate)
        groups = rate if group else 1
        self.channel_sigmoid, self.group = channel_sigmoid, group
        self.channel_attention = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial_attention = nn.Sequential(
            nn.Conv2d(channels, hidden, 7, padding=3, groups=groups),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 7, padding=3, groups=groups),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in x's own type."""
        layers: Any = self.spatial_attention
        squeeze, _, excite = self.channel_attention
        gate = _linear(excite, _linear(squeeze, x).relu_())
        y = x * (gate.sigmoid_() if self.channel_sigmoid else gate).to(x.dtype)
        conv1, norm1, relu, conv2, norm2 = layers
        gate = normalise(norm2, conv2(relu(normalise(norm1, conv1(y))))).sigmoid_().to(x.dtype)
        return _times_shuffled(y, gate) if self.group else y * gate

    def extra_repr(self) -> str:
        return f"channel_sigmoid={self.channel_sigmoid}, group={self.group}"


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    """A linear layer at each pixel, as a 1x1 convolution: no copy in another layout, as nn.Linear
    would need.
    """
    assert isinstance(layer, nn.Linear)
    return F.conv2d(x, layer.weight[:, :, None, None], layer.bias)


def _times_shuffled(y: Tensor, gate: Tensor) -> Tensor:
    """y times the gate whose channel j * C / 4 + i goes to 4 i + j; strides do the shuffle, nothing
    is copied.
    """
    shuffled = gate.unflatten(1, (SHUFFLED, -1)).transpose(1, 2)
    return (y.unflatten(1, (-1, SHUFFLED)) * shuffled).flatten(1, 2)
