"""CAA, context anchor attention: a gate for every value, from a mean of 7 x 7 and two long strips.

Cai, Lai, Wang, Wang, Sun and Yao, "Poly Kernel Inception Network for Remote Sensing Detection",
CVPR 2024, https://arxiv.org/abs/2403.06258. With depthwise convolutions over strips,

    z = layer1(mean of x over 7 x 7, stride 1, where positions outside count as 0)
    z = conv v x 1 of conv 1 x h of z
    gate = sigmoid(layer2(z)),    out = x * gate

and a layer is conv1x1, batch norm and SiLU. [B, C, H, W] keeps its shape.

Choices where code and paper differ:

- The authors' class returns the gate, which their network multiplies by another branch of its
  block: `gate_only=True`. In a row of a graph the gate scales its own input.
- The authors' network builds its layers without batch norm and SiLU: `linear=True`. With them, as
  by default in the class and in its copies, the gate is above sigmoid(-0.2785) = 0.431.
- Batch norm has eps 1e-3 and momentum 0.03, as in the authors' code and in YOLO's graphs.
- The mean divides by 49 at borders too, so that gates differ there.

Cost: 2 C^2 + (h + v + 6) C parameters, 138,240 at 256 channels. It is bound by arithmetic.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -1.47 (-7.56 to +4.62), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.03 (-4.04 to +1.99), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -2.69 (-6.08 to +0.70), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, -0.06 (-2.21 to +2.09), 3 seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._checks import check_flag, check_odd
from models.attention._numerics import apply_batch_norm, convolve_row
from models.attention._registry import register
from models.attention.fast.gates import scale


class _Layer(nn.Module):
    def __init__(self, channels: int, linear: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=linear)
        self.bn = None if linear else nn.BatchNorm2d(channels, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        z = self.conv(x)
        return z if self.bn is None else nn.functional.silu(apply_batch_norm(self.bn, z))


class _Strip(nn.Module):
    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        padding = (height // 2, width // 2)
        self.conv = nn.Conv2d(channels, channels, (height, width), 1, padding, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return convolve_row(self.conv, x)


@register("ContextAnchorAttention", "CAA_Attention")
class CAA(nn.Module):
    """Scales every value by a gate from its surroundings.

    Args:
        channels: C, of the map.
        h_kernel: length of the horizontal strip in positions, odd.
        v_kernel: length of the vertical strip in positions, odd.
        gate_only: whether to return the gate instead of x * gate.
        linear: whether to leave out batch norm and SiLU; the 1x1 convolutions then have biases.

    Raises:
        ValueError: a kernel is not odd, or a flag is not true or false.
    """

    tutorial_order = ("h_kernel", "v_kernel")
    usual_values = (9, 11, 13, 15, 17, 19, 21)

    def __init__(
        self,
        channels: int,
        *,
        h_kernel: int = 11,
        v_kernel: int = 11,
        gate_only: bool = False,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.gate_only = check_flag("gate_only", gate_only)
        check_flag("linear", linear)
        self.avg_pool = nn.AvgPool2d(7, 1, 3)
        self.conv1 = _Layer(channels, linear)
        self.h_conv = _Strip(channels, 1, check_odd("h_kernel", h_kernel))
        self.v_conv = _Strip(channels, check_odd("v_kernel", v_kernel), 1)
        self.conv2 = _Layer(channels, linear)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        z = self.conv1(self.avg_pool(x))
        gate = self.conv2(self.v_conv(self.h_conv(z))).sigmoid()  # [B, C, H, W]
        return gate.to(x.dtype) if self.gate_only else scale(x, gate)

    def extra_repr(self) -> str:
        return f"gate_only={self.gate_only}"
