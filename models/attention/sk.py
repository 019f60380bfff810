"""SK, selective kernel: two sizes of kernel, weighted per channel by a summary of both outputs.

Li, Wang, Hu and Yang, "Selective Kernel Networks", CVPR 2019, https://arxiv.org/abs/1903.06586,
equations 1 to 6. With grouped 3x3 convolutions of dilation 1 and 2 (the second stands for 5x5),

    U_i = relu(norm(conv_i x))
    z = relu(norm(W mean of (U_1 + U_2) over the map)), max(C / reduction, 32) values
    a_i = softmax over i of (W_i z), for every channel
    out = a_1 U_1 + a_2 U_2

Choices: 32 groups as in the paper, or the most below that divide the channels; the common PyTorch
copies have 1, or four undilated kernels up to 7x7, which takes 90 times the parameters at 256
channels. Names are those of timm, whose `split_input` is no part of the paper and is not here. This
replaces x rather than scales it. In training, the norm of z with a batch of one image takes the
running statistics, since one value has no variance.

Cost: 18 C^2 / groups + 3 C d + 4 C + 2 d parameters with d values in z, 62,528 at 256 channels. It
is bound by arithmetic, not by memory.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -20.49 (-27.95 to -13.02), 3 seeds.
"""

from __future__ import annotations

from torch import Tensor, nn

from models.attention._checks import check_count, choose_divisor
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast.gates import pool

USUAL_PATH_GROUPS = 32
LEAST = 32  # values in z, the paper's L


@register("SKLayer", "SelectiveKernel")
class SK(nn.Module):
    """Mixes two convolutions of different reach, in proportions that each channel chooses.

    Args:
        channels: of the map.
        reduction: channels for each value of z.
        groups: of the two convolutions; None means 32, or the largest divisor of the channels
            below it.
        rd_channels: number of values in z; None means max(channels // reduction, 32).

    Raises:
        ValueError: reduction or rd_channels is not a whole number from 1 on, or groups does not
            divide the channels.
    """

    tutorial_order = ("reduction", "groups")
    usual_values = (8, 16, 32)

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        groups: int | None = None,
        rd_channels: int | None = None,
    ) -> None:
        super().__init__()
        check_count("reduction", reduction)
        check_count("rd_channels", 1 if rd_channels is None else rd_channels)
        what = f"the {channels} channels"
        groups = choose_divisor("groups", groups, channels, USUAL_PATH_GROUPS, what)
        self.paths = nn.ModuleList(_Path(channels, groups, dilation) for dilation in (1, 2))
        self.attn = _Choice(channels, rd_channels or max(channels // reduction, LEAST))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        near, far = (path(x) for path in self.paths)  # [B, C, H, W] each, U_1 and U_2
        first, second = self.attn(pool(near) + pool(far))  # [B, C, 1, 1] each, a_1 and a_2
        return (near * first + far * second).to(x.dtype)


class _Path(nn.Module):
    def __init__(self, channels: int, groups: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, 1, dilation, dilation, groups, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return apply_batch_norm(self.bn, self.conv(x)).relu_()


class _Choice(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.fc_reduce = nn.Conv2d(channels, width, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.fc_select = nn.Conv2d(width, 2 * channels, 1, bias=False)

    def forward(self, means: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, 1, 1] -> shares of the two paths, [B, C, 1, 1] each, with the sum 1."""
        votes = self.fc_select(apply_batch_norm(self.bn, self.fc_reduce(means)).relu())
        first, second = (
            votes.unflatten(1, (2, -1)).to(wide(means.dtype)).softmax(1).to(means.dtype).unbind(1)
        )
        return first, second
