"""BAM: one gate per channel and position, from a channel branch and a dilated convolution branch.

Park, Woo, Lee and Kweon, "BAM: Bottleneck Attention Module", BMVC 2018,
https://arxiv.org/abs/1807.06514. Equations 1 to 5: the output is x + x * sigmoid(M_c + M_s). M_c is
two linear layers of the map's mean. M_s is a 1 x 1 convolution to C / r channels, two 3 x 3
convolutions of dilation d, and a 1 x 1 convolution to one map. ReLU and batch norm stand between
the layers.

[B, C, H, W] -> [B, C, H, W]. Cost with h = C / r: 2 C h + 3 h + C parameters for the channel branch
and C h + 3 h + 2 (9 h h + 3 h) + h + 1 for the spatial one, whose multiply-adds (h C + 18 h h + h
per position) are nearly all.

Choices where code and paper differ:

- The authors' code multiplies the branches; the paper adds them, and its ablation favours that.
  `combine: mul` is the default since the authors' weights need it; `combine: add` is the paper's
  equation.
- The code pools a square window of the map's height, which leaves out columns or fails. Here the
  whole map is pooled.
- The paper ends each branch with batch norm. The code does not, nor does this module.
- There is one hidden channel at least. One value per channel in train mode (batch 1 in the channel
  branch) has no statistics; the running ones are used.

The authors place the module once between stages, not in every block.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.40 (-6.54 to +5.75), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -0.33 (-3.36 to +2.69), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.75 (-4.15 to +2.64), 3 seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._checks import check_count, check_reduction
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.bam import fast_bam


class _ChannelBranch(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc0 = nn.Linear(channels, hidden)
        self.bn0 = nn.BatchNorm1d(hidden)
        self.fc_final = nn.Linear(hidden, channels)

    def forward(self, mean: Tensor) -> Tensor:
        """[B, C] -> [B, C, 1, 1]."""
        hidden = apply_batch_norm(self.bn0, self.fc0(mean.to(self.fc0.weight.dtype))).relu()
        return self.fc_final(hidden)[:, :, None, None]


class _SpatialBranch(nn.Module):
    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, hidden, 1)
        self.bn_reduce = nn.BatchNorm2d(hidden)
        self.conv0 = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.bn0 = nn.BatchNorm2d(hidden)
        self.conv1 = nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv_final = nn.Conv2d(hidden, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, 1, H, W]."""
        x = apply_batch_norm(self.bn_reduce, self.conv_reduce(x)).relu()
        x = apply_batch_norm(self.bn0, self.conv0(x)).relu()
        x = apply_batch_norm(self.bn1, self.conv1(x)).relu()
        return self.conv_final(x)


@register("BAMBlock", "BAM_Attention", "BAMAttention")
class BAM(nn.Module):
    """x * (1 + sigmoid(channel branch combined with spatial branch)).

    Args:
        channels: C, of the map.
        reduction: both branches have max(1, C // reduction) hidden channels.
        dilation: of the 3 x 3 convolutions, in positions.
        combine: "mul" as in the authors' code and weights, or "add" as in the paper.

    Raises:
        ValueError: reduction is not a whole number from 1 up to the channels (or 16), dilation is
            not a whole number from 1 on, or combine is neither of the two.
    """

    tutorial_order = ("reduction", "dilation")
    usual_values = (8, 16, 32)

    def __init__(
        self, channels: int, *, reduction: int = 16, dilation: int = 4, combine: str = "mul"
    ) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 16)
        check_count("dilation", dilation)
        if combine not in ("mul", "add"):
            raise ValueError(f"combine={combine!r}: must be mul or add")
        self.combine = combine
        hidden = max(1, channels // reduction)
        self.channel_att = _ChannelBranch(channels, hidden)
        self.spatial_att = _SpatialBranch(channels, hidden, dilation)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if use_fast(x):
            return fast_bam(x, self.channel_att, self.spatial_att, self.combine == "mul")
        channel = self.channel_att(x.mean((2, 3), dtype=wide(x.dtype)))  # [B, C, 1, 1], M_c
        position = self.spatial_att(x)  # [B, 1, H, W], M_s
        both = channel * position if self.combine == "mul" else channel + position
        return x + x * both.sigmoid().to(x.dtype)  # [B, C, H, W], equation 1

    def extra_repr(self) -> str:
        return f"combine={self.combine}"
