"""timm's layers and helpers that files of forks import, without the package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.forks.functions import make_divisible

IMAGENET_DEFAULT_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEFAULT_STD = (0.229, 0.224, 0.225)


def drop_path(
    x: Tensor, drop_prob: float = 0.0, training: bool = False, scale_by_keep: bool = True
) -> Tensor:
    """Set a branch to zero for some images (Huang et al., "Stochastic Depth", ECCV 2016).

    Args:
        x: [B, ...].
        drop_prob: of each image.
        training: whether anything is dropped.
        scale_by_keep: whether the others are divided by 1 - drop_prob, which keeps the mean.

    Returns:
        The same shape.
    """
    if not drop_prob or not training:
        return x
    kept = x.new_empty(len(x), *[1] * (x.dim() - 1)).bernoulli_(1 - drop_prob)
    return x * (kept / (1 - drop_prob) if scale_by_keep and drop_prob < 1 else kept)


class DropPath(nn.Module):
    """drop_path as a module."""

    def __init__(self, drop_prob: float | None = 0.0, scale_by_keep: bool = True) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep = drop_prob or 0.0, scale_by_keep

    def forward(self, x: Tensor) -> Tensor:
        """[B, ...] -> the same shape."""
        return drop_path(x, self.drop_prob, self.training, self.scale_by_keep)


def to_ntuple(count: int) -> Callable[[Any], Any]:
    """A function that repeats a number, and leaves sequences as they are."""

    def repeated(x: Any) -> Any:
        return tuple(x) if isinstance(x, (tuple, list)) else (x,) * count

    return repeated


to_2tuple, to_3tuple = to_ntuple(2), to_ntuple(3)


class Mlp(nn.Module):
    """Two linear layers with an activation; convolutions of 1x1 with use_conv.

    Args:
        in_features: channels.
        hidden_features: None for as many as the input.
        out_features: None for as many as the input.
        act_layer: class of the activation.
        options: `drop` is the dropout's probability after both, `use_conv` and `bias` as above.
    """

    def __init__(
        self,
        in_features: int,
        hidden_features: int | None = None,
        out_features: int | None = None,
        act_layer: Callable[[], nn.Module] = nn.GELU,
        **options: Any,
    ) -> None:
        super().__init__()
        hidden, out = hidden_features or in_features, out_features or in_features
        bias = options.get("bias", True)

        def linear(inputs: int, outputs: int) -> nn.Module:
            if options.get("use_conv", False):
                return nn.Conv2d(inputs, outputs, 1, bias=bias)
            return nn.Linear(inputs, outputs, bias=bias)

        self.fc1, self.act, self.fc2 = linear(in_features, hidden), act_layer(), linear(hidden, out)
        self.drop = nn.Dropout(options.get("drop", 0.0))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in_features] -> [..., out_features]; [B, C, H, W] with use_conv."""
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of a map."""

    def __init__(self, num_channels: int, eps: float = 1e-6, affine: bool = True) -> None:
        super().__init__(num_channels, eps, affine)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeExcite(nn.Module):
    """Scales channels by a gate of their means (Hu et al., CVPR 2018), with 1x1 convolutions.

    Args:
        in_chs: channels.
        rd_ratio: hidden channels as a share, rounded up to a multiple of rd_divisor.
        rd_channels: hidden channels, before rd_ratio.
        act_layer: class of the activation between.
        gate_layer: class of the gate's activation.
        rd_divisor: see rd_ratio.
    """

    def __init__(
        self,
        in_chs: int,
        rd_ratio: float = 0.25,
        rd_channels: int | None = None,
        act_layer: Callable[[], nn.Module] = nn.ReLU,
        gate_layer: Callable[[], nn.Module] = nn.Sigmoid,
        rd_divisor: int = 1,
    ) -> None:
        super().__init__()
        hidden = rd_channels or make_divisible(in_chs * rd_ratio, rd_divisor)
        self.conv_reduce, self.act1 = nn.Conv2d(in_chs, hidden, 1), act_layer()
        self.conv_expand, self.gate = nn.Conv2d(hidden, in_chs, 1), gate_layer()

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        means = x.mean((2, 3), keepdim=True)
        return x * self.gate(self.conv_expand(self.act1(self.conv_reduce(means))))


def variance_scaling_(tensor: Tensor, scale: float = 1.0) -> Tensor:
    """Normal values of the variance scale / fan_in."""
    fan_in = tensor[0].numel()
    with torch.no_grad():
        return tensor.normal_(std=(scale / max(fan_in, 1)) ** 0.5)


def lecun_normal_(tensor: Tensor) -> Tensor:
    """Normal values of the variance 1 / fan_in."""
    return variance_scaling_(tensor)


def window_partition(x: Tensor, window_size: int) -> Tensor:
    """[B, H, W, C] -> windows [B * count, side, side, C]."""
    side = window_size
    blocks = x.unflatten(2, (-1, side)).unflatten(1, (-1, side))  # B rows side columns side C
    return blocks.transpose(2, 3).flatten(0, 2)


def window_reverse(windows: Tensor, window_size: int, H: int, W: int) -> Tensor:
    """Windows [B * count, side, side, C] -> [B, H, W, C]."""
    rows, columns = H // window_size, W // window_size
    blocks = windows.unflatten(0, (-1, rows, columns))
    return blocks.transpose(2, 3).flatten(3, 4).flatten(1, 2)
