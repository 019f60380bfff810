"""HSFPNChannelAttention: the gate with which HS-FPN selects channels, from mean and maximum.

Chen et al., "Accurate leukocyte detection based on deformable-DETR and multi-level feature fusion
for aiding diagnosis of blood diseases" (MFDS-DETR), Computers in Biology and Medicine 170, 2024,
https://arxiv.org/abs/2401.00926. With F two 1x1 convolutions without bias
and ReLU between them,

    gate = sigmoid(F(mean x) + F(max x)),    out = x * gate

over the positions of the map. [B, C, H, W] keeps its shape.

In the network the gate of a coarse map also scales a finer one: `flag=False` returns it, in the
shape of x, for a row Multiply that follows.

Cost: 2 C h parameters with h = C // ratio, 32,768 at 256 channels.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.73 (-5.42 to +6.88), 3 seeds.
- HSFPNChannelAttention at inside.C3, bccd, fine-tuned from COCO, 8 epochs, inside C3, paper start:
  no evidence, -1.24 (-3.98 to +1.49), 3 seeds.
- bccd, from scratch, 30 epochs, the five best, paper start: no evidence, -0.68 (-3.62 to +2.26), 3
  seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._checks import check_flag, check_reduction
from models.attention._registry import register
from models.attention.fast.gates import pool, scale


@register("ChannelAttention_HSFPN")
class HSFPNChannelAttention(nn.Module):
    """Scales each channel.

    Args:
        channels: C, of the map.
        ratio: there are max(1, C // ratio) hidden channels.
        flag: whether x is scaled; else the gate is the output.

    Raises:
        ValueError: ratio is no whole number from 1 up to the channels (or 16), or flag is neither
            true nor false.
    """

    tutorial_order = ("ratio", "flag")
    usual_values = (8, 16)

    def __init__(self, channels: int, *, ratio: int = 4, flag: bool = True) -> None:
        super().__init__()
        check_reduction("ratio", ratio, channels, 16)
        self.flag, hidden = check_flag("flag", flag), max(channels // ratio, 1)
        self.conv1 = nn.Conv2d(channels, hidden, 1, bias=False)
        self.conv2 = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        hidden = [self.conv1(one).relu() for one in (pool(x), x.amax((2, 3), keepdim=True))]
        gate = self.conv2(hidden[0] + hidden[1]).sigmoid()  # [B, C, 1, 1]; conv2 is linear
        return scale(x, gate) if self.flag else gate.to(x.dtype).expand_as(x)
