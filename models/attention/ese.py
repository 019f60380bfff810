"""eSE: a weight for every channel, from the means of all channels through one layer.

Lee and Park, "CenterMask: Real-Time Anchor-Free Instance Segmentation", CVPR 2020,
https://arxiv.org/abs/1911.06667. With z the mean of each channel, the output is
x hard_sigmoid(W z + b), and hard_sigmoid(t) = relu6(t + 3) / 6. W is C x C: unlike SE there are no
fewer hidden channels, which lose information. [B, C, H, W] keeps its shape.

Choices: hard_sigmoid is that of the authors' code. A gate at 0 or 1 (|W z + b| above 3) passes no
gradient to W; the gates begin near 1 / 2. `add_maxpool` is an option of copies in image libraries:
z is then half of the mean plus half of the maximum.

Cost: C^2 + C parameters, 65,792 at 256 channels, 3 map sizes of memory traffic forward; x alone is
kept for backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.50 (-5.65 to +6.65), 3 seeds.
- eSE at inside.C3, bccd, fine-tuned from COCO, 8 epochs, inside C3, paper start: no evidence, -1.23
  (-3.92 to +1.47), 3 seeds.
- bccd, from scratch, 30 epochs, the five best, paper start: no evidence, +0.03 (-2.91 to +2.98), 3
  seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._checks import check_flag
from models.attention._registry import register
from models.attention.fast.gates import pool, scale


@register("ESE", "eSEModule", "EffectiveSE", "EffectiveSEModule", "EffectiveSELayer")
class eSE(nn.Module):
    """Scales each channel by a gate from 0 to 1.

    add_maxpool: whether the maximum of each channel counts as much as its mean. Raises ValueError
    if it is not true or false.
    """

    tutorial_order = ("add_maxpool",)

    def __init__(self, channels: int, *, add_maxpool: bool = False) -> None:
        super().__init__()
        self.add_maxpool = check_flag("add_maxpool", add_maxpool)
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        z = pool(x)  # [B, C, 1, 1]
        if self.add_maxpool:
            z = 0.5 * z + 0.5 * x.amax((2, 3), keepdim=True)
        return scale(x, nn.functional.hardsigmoid(self.fc(z)))
