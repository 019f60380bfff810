"""SEAM and MultiSEAM: amplify channels by what separated convolutions see, for occluded objects.

Yu, Huang, Chen, Su, Liu and Wang, "YOLO-FaceV2: A Scale and Occlusion Aware Face Detector", 2022,
https://arxiv.org/abs/2208.02019. A unit is

    t -> BN(GELU(conv1x1(t + BN(GELU(depthwise 3x3(t))))))
    y = mean over the map of n units of x
    out = x exp(sigmoid(W2 relu(W1 y)))

MultiSEAM has three branches, each a p x p convolution of stride p, GELU and batch norm before its
`depth` units; y is the mean of their means and the mean of x. [B, C, H, W] keeps its shape.

Choices:

- GELU comes before batch norm, and W1 and W2 have no biases, as in the authors' code. The factor is
  between 1 and e, and 1.65 at first: several of these in a row amplify features a lot in float16.
- There is one hidden channel at least, where the code has none for few channels and a constant
  factor.
- A branch of MultiSEAM drops rows and columns beyond the last whole patch. A side that is shorter
  than the patch is filled up with zeros, where the code fails.
- Other sides than 3 of MultiSEAM's depthwise kernel keep the map; in the code they do not.

Cost: n (C^2 + 15 C) + 2 C h parameters for h = C // reduction, 77,568 at 256 channels. The patches
of MultiSEAM have C^2 (p1^2 + p2^2 + p3^2) + 9 C besides, and its branches 3 depth (C^2 + 15 C):
5,658,112 at 256 channels with patches of 3, 5 and 7. It warns of patches above 5 million.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- SEAM, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.13 (-6.26 to +6.01), 3
  seeds.
- MultiSEAM at neck.P5, bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +0.04 (-6.11
  to +6.20), 3 seeds.
- SEAM, bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity
  start: no evidence, -0.35 (-3.38 to +2.67), 3 seeds.
- SEAM, neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.55 (-4.28 to +3.17), 3
  seeds.
- SEAM, neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity
  start: no evidence, +0.92 (-1.23 to +3.07), 3 seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count, check_odd, check_reduction, is_count
from models.attention._numerics import AnyBatchNorm, apply_batch_norm
from models.attention._registry import register
from models.attention.fast import traced
from models.attention.fast.gates import pool, scale

MANY_PARAMETERS = 5_000_000


class _Chain(nn.Sequential):
    """A sequence whose batch norms take a single value too."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = apply_batch_norm(layer, x) if isinstance(layer, AnyBatchNorm) else layer(x)
        return x


class _Residual(nn.Module):
    def __init__(self, fn: nn.Module) -> None:
        super().__init__()
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.fn(x)


def _unit(channels: int, kernel: int) -> _Chain:
    depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
    return _Chain(
        _Residual(_Chain(depthwise, nn.GELU(), nn.BatchNorm2d(channels))),
        nn.Conv2d(channels, channels, 1),
        nn.GELU(),
        nn.BatchNorm2d(channels),
    )


def _excitation(channels: int, reduction: int) -> nn.Sequential:
    check_reduction("reduction", reduction, channels, 16)
    hidden = max(channels // reduction, 1)
    return nn.Sequential(
        nn.Linear(channels, hidden, bias=False),
        nn.ReLU(),
        nn.Linear(hidden, channels, bias=False),
        nn.Sigmoid(),
    )


def _amplify(x: Tensor, fc: nn.Sequential, y: Tensor) -> Tensor:
    """x [B, C, H, W] times exp(fc(y)) for y [B, C, 1, 1]."""
    return scale(x, fc(y.flatten(1)).exp()[:, :, None, None])


@register()
class SEAM(nn.Module):
    """Amplifies channels by 1 to e.

    Args:
        channels: C, of the map.
        n: number of units.
        reduction: there are max(1, C // reduction) hidden channels.

    Raises:
        ValueError: n is not a whole number from 1 on, or reduction is not one up to the channels
            (or 16).
    """

    tutorial_order = ("n", "reduction")

    def __init__(self, channels: int, *, n: int = 1, reduction: int = 16) -> None:
        super().__init__()
        check_count("n", n, 1)
        self.DCovN = nn.Sequential(*(_unit(channels, 3) for _ in range(n)))
        self.fc = _excitation(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        return _amplify(x, self.fc, pool(self.DCovN(x)))


@register()
class MultiSEAM(nn.Module):
    """Amplifies channels by 1 to e, from patches of three sizes.

    It warns if the patches have more than 5 million parameters.

    Args:
        channels: C, of the map.
        depth: number of units of each branch.
        kernel: side of the depthwise kernels in positions, odd.
        patch: three sides of patches in positions.
        reduction: there are max(1, C // reduction) hidden channels.

    Raises:
        ValueError: an option has another value.
    """

    tutorial_order = ("depth", "kernel", "patch", "reduction")

    def __init__(
        self,
        channels: int,
        *,
        depth: int = 1,
        kernel: int = 3,
        patch: Sequence[int] = (3, 5, 7),
        reduction: int = 16,
    ) -> None:
        super().__init__()
        check_count("depth", depth, 1)
        check_odd("kernel", kernel)
        known = isinstance(patch, (list, tuple)) and len(patch) == 3
        if not known or not all(map(is_count, patch)):
            raise ValueError(f"patch={patch!r}: must be three whole numbers from 1 on")
        self.patch = tuple(patch)
        _warn_of_many(channels, self.patch)
        self.DCovN0, self.DCovN1, self.DCovN2 = (
            _Chain(
                nn.Conv2d(channels, channels, side, side),
                nn.GELU(),
                nn.BatchNorm2d(channels),
                *(_unit(channels, kernel) for _ in range(depth)),
            )
            for side in self.patch
        )
        self.fc = _excitation(channels, reduction)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        branches = zip((self.DCovN0, self.DCovN1, self.DCovN2), self.patch, strict=True)
        means = [pool(branch(_at_least(x, side))) for branch, side in branches]
        return _amplify(x, self.fc, (means[0] + means[1] + means[2] + pool(x)) / 4)

    def extra_repr(self) -> str:
        return f"patch={self.patch}"


def _at_least(x: Tensor, side: int) -> Tensor:
    """x, [B, C, H, W], with zeros below and to the right up to `side` rows and columns."""
    if not traced(x) and min(x.shape[2:]) >= side:
        return x  # rather than a copy
    height, width = (_missing(side - length) for length in x.shape[2:])
    return F.pad(x, (0, width, 0, height))


def _missing(count: Any) -> Any:
    """count, or 0 if it is below; no comparison, which would fix the map's size in an export."""
    if isinstance(count, Tensor):  # as sizes are in torch.jit.trace
        return count.clamp_min(0)
    return torch.sym_max(count, 0)


def _warn_of_many(channels: int, patch: Sequence[int]) -> None:
    count = channels**2 * sum(side**2 for side in patch)
    if count > MANY_PARAMETERS:
        warnings.warn(
            f"patch={list(patch)}: has {count:,} parameters at {channels} channels; smaller patches"
            " or SEAM have fewer",
            stacklevel=3,
        )
