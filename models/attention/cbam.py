"""CBAM: a gate per channel, then a gate per position, each from maximum and mean.

Woo, Park, Lee and Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018,
https://arxiv.org/abs/1807.06521. Equation 2: M_c = sigmoid(F(mean x) + F(max x)), pooled over the
map, with F two linear layers and ReLU between them. Equation 3: M_s = sigmoid(conv([max y, mean
y])), pooled over the channels of y = M_c x. The output is M_s y.

[B, C, H, W] -> [B, C, H, W]. Cost: 2 C C / r + C / r + C parameters, and 2 k k + 2 for the spatial
gate; C C + C and 2 k k with Ultralytics' formula.

`formula` chooses among the public forms of this name:

- "paper": as in the authors' code, the linear layers have biases, the order is [max, mean], and a
  batch norm of momentum 0.01 follows the convolution; the paper shows none of it. Their ImageNet
  script starts the weight of that norm at 0, which stops the convolution's gradient at first; here
  it is 1.
- "plain": the paper's equations alone, without biases and batch norm, as in most copies for YOLO.
- "ultralytics": the class of the same name in Ultralytics, M_c = sigmoid(W mean x + b) with one
  C x C layer, and the spatial gate of "plain". CBAM in a YOLOv8 or YOLO11 file means this one.
- "external": that of the collection External-Attention, whose class is CBAMBlock: "plain" with a
  bias in the convolution, and the input added to the result.

Other choices:

- There is one hidden value at least. The code has none where C is below r, and a constant gate.
- Where several positions share a maximum, its gradient is split among them evenly.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -7.13 (-15.36 to +1.10), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.24 (-4.23 to +1.74), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -3.79 (-7.89 to +0.31), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.36 (-1.85 to +2.58), 3 seeds.
- bccd, fine-tuned from COCO, 24 epochs, paper start: hurts, -2.20 (-3.73 to -0.66), 3 seeds.
- bccd, from scratch, 30 epochs, paper start: no evidence, -1.63 (-3.84 to +0.59), 3 seeds.
- bccd, from scratch, 12 epochs, paper start: no evidence, -3.64 (-10.08 to +2.80), 5 seeds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from models.attention._checks import check_flag, check_odd, check_reduction
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.cbam import fast_cbam


@dataclass(frozen=True, slots=True)
class _Formula:
    """What distinguishes the public forms.

    Attributes:
        bias: whether the linear layers have biases.
        norm: whether a batch norm follows the convolution.
        conv_bias: whether the convolution has a bias.
        residual: whether the input is added to the result.
        reads_max: whether the channel gate reads the maximum too, through two layers.
    """

    bias: bool = False
    norm: bool = False
    conv_bias: bool = False
    residual: bool = False
    reads_max: bool = True


CBAM_FORMULAS: Mapping[str, _Formula] = MappingProxyType(
    {
        "paper": _Formula(bias=True, norm=True),
        "plain": _Formula(),
        "ultralytics": _Formula(reads_max=False),
        "external": _Formula(conv_bias=True, residual=True),
    }
)


class _ChannelGate(nn.Module):
    def __init__(self, channels: int, hidden: int, bias: bool) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden, bias)
        self.fc2 = nn.Linear(hidden, channels, bias)

    def forward(self, mean: Tensor, largest: Tensor) -> Tensor:
        """Mean and maximum, each [B, C], -> gate [B, C, 1, 1]: equation 2."""
        pooled = torch.stack((mean, largest.to(mean.dtype)))  # [2, B, C]
        both = self.fc2(self.fc1(pooled.to(self.fc1.weight.dtype)).relu())
        return (both[0] + both[1]).sigmoid()[:, :, None, None]


class _MeanGate(nn.Module):
    """The channel gate of Ultralytics' form."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)

    def forward(self, mean: Tensor) -> Tensor:
        """Mean [B, C, 1, 1] -> gate [B, C, 1, 1]."""
        return self.fc(mean.flatten(1).to(self.fc.weight.dtype)).sigmoid()[:, :, None, None]


class _SpatialGate(nn.Module):
    def __init__(self, kernel_size: int, norm: bool, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=bias)
        self.bn = nn.BatchNorm2d(1, momentum=0.01) if norm else None

    def forward(self, largest: Tensor, mean: Tensor) -> Tensor:
        """Maximum and mean, each [B, 1, H, W], -> gate [B, 1, H, W]: equation 3."""
        maps = torch.cat((largest.to(mean.dtype), mean), 1).to(self.conv.weight.dtype)
        logits = self.conv(maps)
        return (logits if self.bn is None else apply_batch_norm(self.bn, logits)).sigmoid()


@register("CBAMBlock", "CBAM_Attention", "CBAMAttention")
class CBAM(nn.Module):
    """Scales channels, then positions.

    Args:
        channels: C, of the map.
        reduction: the channel gate has max(1, C // reduction) hidden values; Ultralytics' form has
            no such layer.
        kernel_size: side of the spatial gate's convolution in positions, odd.
        no_spatial: whether to omit the spatial gate.
        formula: "paper", "plain", "ultralytics" or "external", as explained above.
        bias: whether the two linear layers have biases; None for what the formula says.
        conv_bias: whether the convolution has a bias; None for what the formula says.

    Raises:
        ValueError: reduction is not a whole number from 1 up to the channels (or 16), kernel_size
            is not odd, no_spatial is not true or false, or the formula does not exist.
    """

    tutorial_order = ("kernel_size",)
    other_orders = (("reduction", "kernel_size"),)
    orders_of_names = MappingProxyType({"CBAMBlock": ("reduction", "kernel_size")})
    usual_values = (8, 16, 32)

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        kernel_size: int = 7,
        no_spatial: bool = False,
        formula: str = "paper",
        bias: bool | None = None,
        conv_bias: bool | None = None,
    ) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 16)
        check_odd("kernel_size", kernel_size)
        check_flag("no_spatial", no_spatial)
        if formula not in CBAM_FORMULAS:
            raise ValueError(f"formula={formula!r}: must be one of {', '.join(CBAM_FORMULAS)}")
        form = CBAM_FORMULAS[formula]
        self.formula, self.residual, self.reads_max = formula, form.residual, form.reads_max
        hidden = max(1, channels // reduction)
        self.channel_attention = (
            _ChannelGate(channels, hidden, _choose("bias", bias, form.bias))
            if form.reads_max
            else _MeanGate(channels)
        )
        has_bias = _choose("conv_bias", conv_bias, form.conv_bias)
        self.spatial_attention = (
            None if no_spatial else _SpatialGate(kernel_size, form.norm, has_bias)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        out = self.gate(x)
        return x + out if self.residual else out

    def gate(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> M_s M_c x, the same shape."""
        if use_fast(x):
            return fast_cbam(x, self.channel_attention, self.spatial_attention, self.reads_max)
        mean = x.mean((2, 3), dtype=wide(x.dtype))  # [B, C]
        pooled = (mean, x.amax((2, 3))) if self.reads_max else (mean,)
        channel = self.channel_attention(*pooled).to(x.dtype)  # [B, C, 1, 1], M_c
        y = x * channel  # [B, C, H, W]
        if self.spatial_attention is None:
            return y
        mean, largest = y.mean(1, keepdim=True, dtype=wide(x.dtype)), y.amax(1, keepdim=True)
        position = self.spatial_attention(largest, mean).to(x.dtype)  # [B, 1, H, W], M_s
        return y * position

    def extra_repr(self) -> str:
        return f"formula={self.formula}"


def _choose(name: str, given: bool | None, usual: bool) -> bool:
    return usual if given is None else check_flag(name, given)
