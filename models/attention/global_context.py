"""GlobalContext: adds to every position a summary of the whole map, found by attention.

Cao, Xu, Lin, Wei and Hu, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
ICCV 2019 workshops, https://arxiv.org/abs/1904.11492. Equation 4, with p over positions: context
c = sum_p softmax_p(w x)_p x_p, then x + T(c) with T = conv1x1, layer norm, ReLU, conv1x1. The
authors' code also has x sigmoid(T'(c)), here computed before the sum, and a mean in place of the
attention. [B, C, H, W] keeps its shape.

Choices: the last layer of each T starts at zero, so that a new module with the sum alone is the
identity, and with the product half of it. Layer norm of one hidden channel is a constant, so the
default ratio of 1/16, that of the authors' configurations, leaves at least 4. conv_mask.bias has no
gradient: a softmax does not depend on what is added to all scores.

Cost, with P hidden channels: C + 1 parameters for the attention and 2 C P + 3 P + C for each T.
Forward reads the map three times and writes it once.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.01 (-6.15 to +6.13), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +1.20 (-1.82 to +4.22), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.57 (-3.97 to +2.82), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, +0.46 (-1.73 to +2.64), 3 seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast import use_fast
from models.attention.fast.gates import pool, scale
from models.attention.fast.global_context import fast_context

FUSIONS = ("channel_add", "channel_mul")
# Defaults: hidden channels as a share of all, and their least number.
RATIO, FEWEST = 1 / 16, 4


@register(
    "GC",
    "GCBlock",
    "GCNet",
    "ContextBlock",
    "ContextBlock2d",
    "GlobalContextBlock",
    "GlobalContextAttention",
)
class GlobalContext(nn.Module):
    """Adds a vector per image to all positions, scales its channels, or both.

    It warns if the ratio leaves one hidden channel, which layer norm makes a constant.

    Args:
        channels: of the map.
        ratio: hidden channels per channel, above 0 up to 1; their number is rounded down, and at
            least 1. None means 1/16, and at least 4 hidden channels.
        pooling: "att" for the paper's attention, or "avg" for the plain mean.
        fusion: "channel_add", "channel_mul", or a list of both.

    Raises:
        ValueError: An option has another value.
    """

    tutorial_order = ("ratio",)
    dead_parameters = ("conv_mask.bias",)

    def __init__(
        self,
        channels: int,
        *,
        ratio: float | None = None,
        pooling: str = "att",
        fusion: str | Sequence[str] = ("channel_add",),
    ) -> None:
        super().__init__()
        fusion = (fusion,) if isinstance(fusion, str) else fusion
        known = isinstance(fusion, (list, tuple)) and all(one in FUSIONS for one in fusion)
        if not known or not fusion:
            raise ValueError(
                f"fusion={fusion!r}: must be channel_add, channel_mul, or a list of them"
            )
        if pooling not in ("att", "avg"):
            raise ValueError(f"pooling={pooling!r}: must be att or avg")
        hidden = hidden_channels(channels, ratio)
        self.conv_mask = nn.Conv2d(channels, 1, 1) if pooling == "att" else None
        if self.conv_mask is not None:
            nn.init.kaiming_normal_(self.conv_mask.weight)
            nn.init.zeros_(self.conv_mask.bias)  # type: ignore[arg-type]
        self.channel_add_conv = transform(channels, hidden) if "channel_add" in fusion else None
        self.channel_mul_conv = transform(channels, hidden) if "channel_mul" in fusion else None
        self.starts_as_identity = self.channel_mul_conv is None

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        context = self.context(x)  # [B, C, 1, 1]
        out = x
        if self.channel_mul_conv is not None:
            out = scale(x, self.channel_mul_conv(context).sigmoid())
        if self.channel_add_conv is not None:
            out = out + self.channel_add_conv(context).to(x.dtype)
        return out

    def context(self, x: Tensor) -> Tensor:
        """The mean of all positions, weighted by attention: [B, C, H, W] -> [B, C, 1, 1]."""
        if self.conv_mask is None:
            return pool(x)
        if use_fast(x):
            return fast_context(x, self.conv_mask)
        scores = self.conv_mask(x).flatten(2)  # [B, 1, H * W]
        weights = scores.softmax(2, dtype=wide(x.dtype)).to(x.dtype)
        return torch.matmul(x.flatten(2), weights.transpose(1, 2))[..., None]


def transform(channels: int, hidden: int) -> nn.Sequential:
    """Return the paper's T, [B, C, 1, 1] -> [B, C, 1, 1], which gives zeros at first."""
    last = nn.Conv2d(hidden, channels, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), last
    )


def hidden_channels(channels: int, ratio: float | None) -> int:
    """Return the number of hidden channels. Raises ValueError unless 0 < ratio <= 1."""
    if ratio is None:
        return min(max(int(channels * RATIO), FEWEST), channels)
    if isinstance(ratio, bool) or not isinstance(ratio, (int, float)) or not 0 < ratio <= 1:
        raise ValueError(f"ratio={ratio!r}: must be a number above 0 and up to 1, such as 0.25")
    hidden = max(int(channels * ratio), 1)
    if hidden == 1 and channels > 1:
        better = f"write ratio: {min(FEWEST / channels, 1):g} or more"
        warnings.warn(
            f"ratio={ratio:g}: leaves 1 hidden channel of {channels}, a constant; {better}",
            stacklevel=3,
        )
    return hidden
