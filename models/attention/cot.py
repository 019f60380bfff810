"""CoT, contextual transformer: a convolution's context of each position chooses the weights with
which its neighbours are summed.

Li, Yao, Pan and Mei, "Contextual Transformer Networks for Visual Recognition", TPAMI 2022,
https://arxiv.org/abs/2107.12292, section 3.2. With u a window of k x k positions, `norm` batch norm
and m = C / 8,

    key = relu(norm(conv k x k of x))                      in 4 groups: the static context
    w   = group norm(conv 1x1(relu(norm(conv 1x1 [x; key]))))          k^2 weights for each of m
    y_c = sum over u of w_(c mod m, u) value_c(p + u),     value = norm(conv 1x1 of x)
    out = a * silu(norm(y)) + b * key                      y is the dynamic context

where a and b are two shares of each channel, chosen by a summary of the sum of both contexts as in
SK. Outside the map value is zero. Channels must be a multiple of 8.

CoTAttention, below, is what YOLO's public code has under that name. It has no local sum and no
shares: with z the mean over the k^2 weights of conv 1x1(relu(norm(conv 1x1 [key; x]))), k^2 for
each channel,

    out = key + value * softmax of z over all positions of the map

so that the second term is about as small as one position's share of the map. The mean is taken of
the weights of the convolution rather than of its result, which is the same and costs a k^2th.
attention_embed.3.bias has no gradient: a softmax does not depend on what is added to all logits.

Choices: weights of neighbours have no softmax, and they are summed by k^2 shifted products, as the
authors' CUDA kernel does. In training, a batch norm of one value takes the running statistics.

[B, C, H, W] -> [B, C, H, W]. Cost at k = 3: about 6.3 C^2 parameters, 417,248 at 256 channels, and
577,024 for CoTAttention. Both replace x.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- CoT, bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -14.14 (-21.43 to -6.86), 3 seeds.
- CoTAttention, bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -9.57 (-15.67 to -3.47), 3
  seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_odd
from models.attention._numerics import AnyBatchNorm, apply_wide_batch_norm, wide
from models.attention._registry import register

KEY_GROUPS = 4
SHARED = 8  # channels that one set of weights serves
LEAST_SUMMARY = 32  # values from which the shares are chosen, at least


def _check_multiple(channels: int, factor: int) -> None:
    if channels % factor:
        raise ValueError(f"needs a multiple of {factor} channels, but gets {channels}")


def _static_context(channels: int, kernel_size: int) -> nn.Sequential:
    conv = nn.Conv2d(
        channels, channels, kernel_size, padding=kernel_size // 2, groups=KEY_GROUPS, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(channels), nn.ReLU())


def _value(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))


def _weights(channels: int, count: int) -> nn.Sequential:
    """From the context and x together to `count` maps of weights."""
    half = channels // 2
    first = nn.Conv2d(2 * channels, half, 1, bias=False)
    return nn.Sequential(first, nn.BatchNorm2d(half), nn.ReLU(), nn.Conv2d(half, count, 1))


def _run(layers: nn.Sequential, x: Tensor) -> Tensor:
    """Layers one after the other, [B, C, H, W] -> maps, safe for batch norms of a single value."""
    for layer in layers:
        if isinstance(layer, AnyBatchNorm):
            x = apply_wide_batch_norm(layer, x)
        else:
            x = layer(_fit(x, layer.weight) if isinstance(layer, nn.Conv2d) else x)
    return x


def _fit(x: Tensor, weight: Tensor) -> Tensor:
    """Return x in the type of the weight if that has half precision. Autocast converts the rest."""
    return x.to(weight.dtype) if weight.itemsize == 2 else x


def _mean(first: Tensor, second: Tensor) -> Tensor:
    """The mean of the maps' sum, in float32 at least: [B, C, H, W] each -> [B, C, 1, 1]."""
    means = [one.mean((2, 3), keepdim=True, dtype=wide(one.dtype)) for one in (first, second)]
    return means[0] + means[1]


@register("CotLayer")
class CoT(nn.Module):
    """Mixes the static and the dynamic context of each position, as the paper does.

    kernel_size: side of the window in positions, odd. Raises ValueError for any other, or if the
    number of channels is not a multiple of 8.
    """

    tutorial_order = ("kernel_size",)

    def __init__(self, channels: int, *, kernel_size: int = 3) -> None:
        super().__init__()
        self.kernel_size = check_odd("kernel_size", kernel_size)
        _check_multiple(channels, SHARED)
        self.groups, taps = channels // SHARED, kernel_size**2
        self.key_embed = _static_context(channels, kernel_size)
        self.embed = _weights(channels, taps * self.groups)
        self.embed.append(nn.GroupNorm(self.groups, taps * self.groups))
        self.conv1x1 = _value(channels)
        self.bn = nn.BatchNorm2d(channels)
        summary = max(channels // 2, LEAST_SUMMARY)
        self.se = nn.Sequential(
            nn.Conv2d(channels, summary, 1),
            nn.BatchNorm2d(summary),
            nn.ReLU(),
            nn.Conv2d(summary, 2 * channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        static = _run(self.key_embed, x)  # [B, C, H, W]
        weights = _run(self.embed, torch.cat((x, static), 1))  # [B, m * k^2, H, W]
        summed = self.sum_neighbours(_run(self.conv1x1, x), weights)  # [B, C, H, W], y
        dynamic = F.silu(apply_wide_batch_norm(self.bn, summed))
        votes = _run(self.se, _mean(dynamic, static).to(x.dtype))
        votes = votes.unflatten(1, (-1, 2))  # [B, C, 2, 1, 1]
        # The softmax of two numbers is the sigmoid of their difference, and b is 1 - a.
        votes = votes.to(dynamic.dtype)
        share = (votes[:, :, 0] - votes[:, :, 1]).sigmoid()  # [B, C, 1, 1], a
        return torch.lerp(static.to(dynamic.dtype), dynamic, share).to(x.dtype)

    def sum_neighbours(self, values: Tensor, weights: Tensor) -> Tensor:
        """Values [B, C, H, W] and weights [B, m * k^2, H, W] -> y, [B, C, H, W], wide."""
        side, (rows, columns) = self.kernel_size, values.shape[2:]
        # Many products with small differences: half precision would lose a hundredth of the sum.
        weights = weights.to(wide(values.dtype)).unflatten(1, (1, self.groups, -1))
        padded = F.pad(values, [side // 2] * 4).unflatten(1, (SHARED, self.groups))
        total: Tensor | None = None
        for tap in range(side**2):
            down, right = divmod(tap, side)
            shifted = padded[..., down : down + rows, right : right + columns]
            product = shifted * weights[:, :, :, tap]  # [B, 8, m, H, W]
            total = product if total is None else total + product
        assert total is not None
        return total.flatten(1, 2)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}"


@register()
class CoTAttention(nn.Module):
    """Adds values to the static context in proportions of the whole map, as YOLO's public code.

    kernel_size: side of the window in positions, odd. Raises ValueError for any other, or if the
    number of channels is not a multiple of 4.
    """

    tutorial_order = ("kernel_size",)
    dead_parameters = ("attention_embed.3.bias",)

    def __init__(self, channels: int, *, kernel_size: int = 3) -> None:
        super().__init__()
        self.kernel_size = check_odd("kernel_size", kernel_size)
        _check_multiple(channels, KEY_GROUPS)
        self.key_embed = _static_context(channels, kernel_size)
        self.value_embed = _value(channels)
        self.attention_embed = _weights(channels, kernel_size**2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        static = _run(self.key_embed, x)  # [B, C, H, W]
        hidden = _run(self.attention_embed[:3], torch.cat((static, x), 1))  # [B, C / 2, H, W]
        logits = self.mean_logits(hidden).to(wide(x.dtype))
        share = logits.flatten(2).softmax(2).view_as(logits)  # [B, C, H, W]
        value = _run(self.value_embed, x)
        return (static + value * share.to(value.dtype)).to(x.dtype)

    def mean_logits(self, hidden: Tensor) -> Tensor:
        """[B, C / 2, H, W] -> [B, C, H, W]: the mean over the k^2 weights of each channel."""
        weight, bias = (
            value.unflatten(0, (-1, self.kernel_size**2)).mean(1)
            for value in self.attention_embed[3].parameters()
        )  # [C, C / 2, 1, 1] and [C]
        return F.conv2d(_fit(hidden, weight), weight, bias)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}"
