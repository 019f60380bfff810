"""Area attention: each pixel attends to those of its own band of the map; YOLO12's attention.

Tian, Ye and Doermann, "YOLOv12: Attention-Centric Real-Time Object Detectors", 2025,
https://arxiv.org/abs/2502.12524, section 3.2. The M = H W pixels in row-major order are cut into
`area` equal runs, horizontal bands whose ends may lie within a row. With h heads of d = C / h
channels, in each run and head:

    out = softmax(q k^T / sqrt(d)) v,        AAttn(x) = proj(out + pe(v))
    ABlock(x) = y + mlp(y), y = x + AAttn(x)

qkv and proj are 1x1 convolutions, pe is a depth-wise 7x7 convolution on the whole map of v, which
stands for the position; each has a batch norm and no activation. The channels of qkv are q, k and v
of the first head, then of the second, and so on. mlp is two 1x1 convolutions with a SiLU between.

[B, C, H, W] -> the same. Parameters: AAttn 4 C C + 59 C, ABlock as many and about 2 r C C for the
mlp of ratio r. Softmax costs M / area values for each pixel and head; they are not kept, since
PyTorch's scaled_dot_product_attention computes them in tiles. Its sums are float32 at least.

Choices:

- A map whose pixels `area` does not divide is one run, as with area 1. Public code raises there,
  and so does an ONNX file for any size, which takes maps that the number divides.
- Heads have about 32 channels if their number is not given, as in the blocks of YOLO12.
- The weights of the convolutions of an ABlock start normally distributed with deviation 0.02.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- AAttn, bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -20.02 (-26.24 to -13.80), 3
  seeds.
- ABlock, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.12 (-6.28 to +6.03), 3
  seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, choose_divisor
from models.attention._numerics import apply_batch_norm
from models.attention._registry import register
from models.common import Conv

HEAD_CHANNELS = 32


class _Conv(Conv):
    """Convolution, batch norm, activation; a single value per channel can be trained too."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.act(x if self.bn is None else apply_batch_norm(self.bn, x))


@register("AreaAttention")
class AAttn(nn.Module):
    """Self-attention within each of `area` equal bands of the map.

    Args:
        channels: of the map.
        num_heads: a divisor of the channels; None means the largest one that leaves heads at least
            32 channels, or 1.
        area: number of bands, from 1 on.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("num_heads", "area")
    usual_values = (8, 16)

    def __init__(self, channels: int, *, num_heads: int | None = None, area: int = 1) -> None:
        super().__init__()
        usual = max(1, channels // HEAD_CHANNELS)
        what = f"the {channels} channels"
        self.num_heads = choose_divisor("num_heads", num_heads, channels, usual, what)
        self.area = check_count("area", area, 4)
        self.qkv = _Conv(channels, 3 * channels, act=False)
        self.proj = _Conv(channels, channels, act=False)
        self.pe = _Conv(channels, channels, 7, groups=channels, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        batch, channels, height, width = x.shape
        qkv = self.qkv(x)
        value = _values(qkv, self.num_heads)
        # Not unflatten, which the older ONNX exporter would turn into constant sizes.
        runs = self.area if self.area == 1 or height * width % self.area == 0 else 1
        depth = channels // self.num_heads
        size = (batch * runs, height * width // runs, self.num_heads, 3, depth)
        # Not flatten, whose gradient for a single image has a stride of the batch dimension that
        # batch norm's backward pass on a CPU misreads (PyTorch 2.14). Without contiguous channels,
        # the attention would keep a value for each pair of pixels.
        parts = qkv.permute(0, 2, 3, 1).contiguous().reshape(size)
        q, k, v = parts.permute(3, 0, 2, 1, 4).unbind(0)  # [B runs, heads, pixels, d] each
        out = F.scaled_dot_product_attention(q, k, v)
        out = out.transpose(1, 2).reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        # The first operand decides the memory format of the sum.
        return self.proj(self.pe(value) + out.to(value.dtype)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"num_heads={self.num_heads}, area={self.area}"


def _values(qkv: Tensor, heads: int) -> Tensor:
    """The v of all heads as a map, [B, 3 C, H, W] -> [B, C, H, W] in the same memory format."""
    size = qkv.shape[1] // heads
    return torch.cat([part[:, size // 3 * 2 :] for part in qkv.split(size, 1)], 1)


@register()
class ABlock(nn.Module):
    """Area attention, then two 1x1 convolutions, each added to its input.

    Args:
        channels: of the map.
        num_heads: as in AAttn.
        mlp_ratio: the mlp has int(channels * mlp_ratio) hidden channels, at least 1.
        area: as in AAttn.

    Raises:
        ValueError: An option has another value than AAttn takes, or mlp_ratio is not above 0.
    """

    tutorial_order = ("num_heads", "mlp_ratio", "area")
    usual_values = (8, 16)

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int | None = None,
        mlp_ratio: float = 1.2,
        area: int = 1,
    ) -> None:
        super().__init__()
        if not isinstance(mlp_ratio, (int, float)) or isinstance(mlp_ratio, bool) or mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio={mlp_ratio!r}: must be a number above 0, such as 1.2")
        hidden = max(1, int(channels * mlp_ratio))
        self.attn = AAttn(channels, num_heads=num_heads, area=area)
        self.mlp = nn.Sequential(_Conv(channels, hidden), _Conv(hidden, channels, act=False))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        x = x + self.attn(x)
        return x + self.mlp(x).to(x.dtype)
