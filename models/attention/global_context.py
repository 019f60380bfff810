"""GlobalContext: adds to every position what the whole map has to say, found by attention over all
positions.

Cao, Xu, Lin, Wei and Hu, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
ICCV 2019 workshops, https://arxiv.org/abs/1904.11492. Equation 4 there, with p over positions:
context c = sum_p softmax_p(w x)_p x_p, then x + T(c) with T = conv1x1, layer norm, ReLU, conv1x1.
The authors' code also has x sigmoid(T'(c)), here before the sum, and a mean in place of the
attention. [B, C, H, W] keeps its shape.

Cost, with P hidden channels: C + 1 for the attention and 2 C P + 3 P + C for each T; forward the
map is read thrice and written once. Backward keeps x and one map of weights, and writes the
context's gradient once: with s the weights, c' the context's gradient and l = s (c' x - sum s c'
x), it is c' s + w l, a product of two thin matrices.

Choices: the last layer of each T starts at zero, so a new module with the sum alone is the identity
(with the product, half of it). Layer norm of one hidden channel is a constant, so the default ratio
of 1/16, of the authors' configurations, leaves at least 4. conv_mask.bias has no gradient: a
softmax does not see what is added to all scores.
Verdict: not yet measured.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.attention._lean import pool, scale, traced, wide
from models.attention._registry import register

FUSIONS = ("channel_add", "channel_mul")
RATIO, FEWEST = 1 / 16, 4  # where the user says nothing: share and least number of hidden channels


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

    ratio: hidden channels per channel, above 0 up to 1, rounded down to a whole number and at least
    1; None takes 1/16 and at least 4. pooling: "att", the paper's, or "avg". fusion: "channel_add",
    "channel_mul", or a list of both.

    Raises ValueError for anything else; warns where a ratio leaves one hidden channel, which is
    then a constant.
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
        if (
            not isinstance(fusion, (list, tuple))
            or not fusion
            or not all(one in FUSIONS for one in fusion)
        ):
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
        """[B, C, H, W] -> [B, C, H, W] in x's own type."""
        context = pool(x) if self.conv_mask is None else attend(x, self.conv_mask)
        out = x
        if self.channel_mul_conv is not None:
            out = scale(x, self.channel_mul_conv(context).sigmoid())
        if self.channel_add_conv is not None:
            out = out + self.channel_add_conv(context).to(x.dtype)
        return out


def hidden_channels(channels: int, ratio: float | None) -> int:
    """How many a ratio leaves. Raises ValueError for one that is not above 0 and up to 1."""
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


def transform(channels: int, hidden: int) -> nn.Sequential:
    """T above, [B, C, 1, 1] -> [B, C, 1, 1], giving zeros at first."""
    last = nn.Conv2d(hidden, channels, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.LayerNorm([hidden, 1, 1]), nn.ReLU(), last
    )


def attend(x: Tensor, mask: nn.Conv2d) -> Tensor:
    """The context, [B, C, 1, 1]: mean of all positions, weighted by the softmax of what mask makes
    of each.
    """
    if not traced(x) and mask.bias is not None:
        return _Attend.apply(x, mask.weight.to(x.dtype), mask.bias.to(x.dtype))
    weights = softmax(mask(x).flatten(2), x.dtype)
    return torch.matmul(x.flatten(2), weights.transpose(1, 2))[..., None]


def softmax(scores: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, 1, M] -> [B, 1, M] in dtype, computed in float32 at least."""
    return scores.softmax(2, dtype=wide(dtype)).to(dtype)


def weighted(maps: Tensor, weights: Tensor) -> Tensor:
    """[B, C, M], [B, 1, M] -> [B, C, 1]: sums over positions, image by image: batches of transposed
    maps are slow.
    """
    if maps.device.type != "cpu" or not len(maps):
        return torch.matmul(maps, weights.transpose(1, 2))
    return torch.stack([one @ weight.t() for one, weight in zip(maps, weights, strict=True)])


class _Attend(torch.autograd.Function):
    """The context, whose gradient for x is written once where autograd would write three maps and
    add them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        flat = weight.flatten(1)  # [1, C]
        # bmm, since matmul would copy x
        weights = softmax(torch.bmm(flat.expand(len(x), 1, -1), x.flatten(2)) + bias, x.dtype)
        ctx.save_for_backward(x, flat, weights)
        return weighted(x.flatten(2), weights)[..., None].to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, flat, weights = ctx.saved_tensors
        maps, g = x.flatten(2), g.flatten(2)  # [B, C, M], [B, C, 1]
        each = torch.matmul(g.transpose(1, 2), maps).to(wide(x.dtype))
        wide_weights = weights.to(each.dtype)
        scores = (wide_weights * (each - (wide_weights * each).sum(2, keepdim=True))).to(x.dtype)
        left = torch.cat([g, flat.t().expand_as(g)], 2)  # [B, C, 2]
        right = torch.cat([weights, scores], 1)  # [B, 2, M]
        last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        grad = (
            (right.transpose(1, 2) @ left.transpose(1, 2)).transpose(1, 2) if last else left @ right
        )
        grad_weight = weighted(maps, scores).sum(0).t()
        return grad.unflatten(2, x.shape[2:]), grad_weight[:, :, None, None], scores.new_zeros(1)
