"""ACmix: attention in a small window and a convolution, mixed, from the same three projections.

Pan, Ge, Lu, Song, Chen, Huang and Huang, "On the Integration of Self-Attention and Convolution",
CVPR 2022, https://arxiv.org/abs/2111.14556. Stage one (section 4) makes queries q, keys k and
values v, each a 1x1 convolution of x, in `head` heads of d channels. Stage two has two paths,
weighed by learned scalars:

    out = rate1 * attention + rate2 * convolution
    attention at p   = sum over n of a_n v_n,
                       a = softmax over n of (q . (k_n + e - e_n)) / sqrt(d)
    convolution at p = dep_conv(fc(q, k, v))

fc turns the 3 * head maps of each of the d places of a head into 9, and dep_conv those 9 into
`head` output channels, by a grouped 3x3 convolution that starts as the nine shifts. n runs over the
kernel_att x kernel_att window around p, in the map continued by reflection; e = conv_p of the
position, x and y each from -1 to 1. A side too short to reflect (kernel_att // 2 or less) repeats
its edge; the authors' code fails there. With stride 2 the output has ceil(H / 2) rows and ceil(W /
2) columns; the authors' code takes even sizes only, and gives the same for them.

[B, C, H, W] -> [B, out_channels, H, W]. With c = out_channels: 3 (C c + c) + 3 d + 27 head + 81 c +
2 parameters.

q . e and q . (bias of k) are the same for all n, and softmax drops them, so that k - e is formed
once, before the windows. conv_p.bias and conv2.bias have no influence on attention (the latter has
on the convolution); gradients of conv_p.bias are zero but for rounding. There is no dep_conv.bias,
as in the state dict of the authors' code. Its kernel_conv and dilation work for one value only, 3
and 1.

The windows below cost kernel_att^2 copies of maps. fast/acmix.py computes the same in tiles, and
runs on every device.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -9.41 (-15.56 to -3.26), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, choose_divisor
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.acmix import fast_acmix

LARGEST_WINDOW = 31


@register("ACMix", "Acmix")
class ACmix(nn.Module):
    """The weighted sum of attention in a window and a convolution, both in heads.

    Args:
        channels: of the input.
        out_channels: of the output; None means as many as the input has.
        kernel_att: side of the attention's window in positions, odd, 3 to 31.
        head: number of heads, a divisor of out_channels; None means 4 or, if 4 is no divisor, the
            largest one below.
        kernel_conv: 3, the only side for which the authors' code works; lists in YAML give it.
        stride: 1, or 2 to halve the map.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("kernel_att", "head", "kernel_conv", "stride")
    usual_values = (9, 11, 13)
    dead_parameters = ("conv_p.bias",)

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        kernel_att: int = 7,
        head: int | None = None,
        kernel_conv: int = 3,
        stride: int = 1,
    ) -> None:
        super().__init__()
        width = channels if out_channels is None else check_count("out_channels", out_channels)
        if check_count("kernel_att", kernel_att) % 2 == 0 or not 3 <= kernel_att <= LARGEST_WINDOW:
            raise ValueError(
                f"kernel_att={kernel_att}: must be odd, from 3 to {LARGEST_WINDOW}, such as 7; it"
                " is the side of a window, not a channel count"
            )
        if kernel_conv != 3:
            raise ValueError(f"kernel_conv={kernel_conv!r}: must be 3")
        if check_count("stride", stride) > 2:
            raise ValueError(f"stride={stride}: must be 1 or 2")
        self.head = choose_divisor("head", head, width, 4, f"the {width} output channels")
        if width != channels:
            self.out_channels = width
        self.kernel_att, self.stride, self.width = kernel_att, stride, width
        self.place = width // self.head  # the d above
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(channels, width, 1) for _ in range(3))
        self.conv_p = nn.Conv2d(2, self.place, 1)
        self.fc = nn.Conv2d(3 * self.head, 9, 1, bias=False)
        self.dep_conv = nn.Conv2d(
            9 * self.place, width, 3, padding=1, groups=self.place, bias=False, stride=stride
        )
        self.rate1 = nn.Parameter(torch.full((1,), 0.5))
        self.rate2 = nn.Parameter(torch.full((1,), 0.5))
        with torch.no_grad():
            self.dep_conv.weight.copy_(torch.eye(9).reshape(9, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out_channels, H, W] in the type of x.

        With stride 2, H and W are halved and rounded up.
        """
        if use_fast(x, accelerators=True):
            return fast_acmix(x, self)
        # Not unflatten, which the older ONNX exporter would turn into constant sizes.
        batch, _, height, width = x.shape
        size = (batch, self.head, self.place, height, width)
        q, k, v = (conv(x).reshape(size) for conv in (self.conv1, self.conv2, self.conv3))
        attention = self.attend(q, k - self.conv_p(position_grid(x))[0], v)
        convolution = self.convolve(torch.cat((q, k, v), 1))
        return (self.rate1 * attention + self.rate2 * convolution).to(x.dtype)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k - e and v, [B, head, d, H, W] each -> the path of attention, [B, width, H', W']."""
        side, stride = self.kernel_att, self.stride
        q = q[..., ::stride, ::stride]  # [B, head, d, H', W']
        tall, broad = q.shape[-2:]
        shifts = [(down, right) for down in range(side) for right in range(side)]
        keys, values = (
            [
                part[..., down:, right:][..., ::stride, ::stride][..., :tall, :broad]
                for down, right in shifts
            ]
            for part in (continued(k, side // 2), continued(v, side // 2))
        )
        logits = torch.stack([(q * key).sum(2) for key in keys]) * self.place**-0.5
        weights = logits.to(wide(q.dtype)).softmax(0).to(q.dtype)  # [side^2, B, head, H', W']
        found = torch.zeros_like(q)
        for value, weight in zip(values, weights, strict=True):
            found = found + value * weight[:, :, None]
        return found.flatten(1, 2)

    def convolve(self, maps: Tensor) -> Tensor:
        """q, k and v together, [B, 3 * head, d, H, W] -> the path of convolution."""
        batch, _, place, height, width = maps.shape
        nine = self.fc(maps.flatten(2, 3)).reshape(batch, 9, place, height, width)
        return self.dep_conv(nine.transpose(1, 2).flatten(1, 2))

    def extra_repr(self) -> str:
        return f"kernel_att={self.kernel_att}, head={self.head}, stride={self.stride}"


def continued(x: Tensor, reach: int) -> Tensor:
    """Return x, [B, head, d, H, W], padded by `reach` on every side.

    The padding is a reflection, or repeats the edge where a side is too short to reflect.
    """
    maps = x.flatten(1, 2)
    for side, around in ((2, [0, 0, reach, reach]), (3, [reach, reach, 0, 0])):
        maps = F.pad(maps, around, mode="reflect" if maps.shape[side] > reach else "replicate")
    return maps.unflatten(1, x.shape[1:3])


def position_grid(x: Tensor) -> Tensor:
    """Return the position of each place of x, [1, 2, H, W]: across and down, from -1 to 1."""
    height, width = x.shape[2:]
    down, across = (
        torch.arange(length, dtype=x.dtype, device=x.device) * (2 / max(length - 1, 1)) - 1
        for length in (height, width)
    )
    return torch.stack((across.expand(height, -1), down[:, None].expand(-1, width)))[None]
