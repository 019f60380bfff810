"""SOCA, second-order channel attention: a gate for each channel from how channels vary together.

Dai, Cai, Zhang, Xia and Zhang, "Second-order Attention Network for Single Image Super-Resolution",
CVPR 2019, section 3.3. With S the covariance of the channels over the M positions of the map,

    Y = S^(1/2),  z_c = mean over i of Y_ci,  w = sigmoid(W2 relu(W1 z)),  out = x * w

The root is that of five Newton-Schulz iterations. With the trace t of S, Y = S / t and Z = 1,

    Y, Z <- Y (3 - Z Y) / 2, (3 - Z Y) Z / 2,  and at the end Y sqrt(t)

[B, C, H, W] keeps its shape.

Choices: the last iteration is done for z alone, Y z' = (3 y - Y Z y) / 2 with y = Y z' of the one
before, so that 10 products of matrices remain of 15. The covariance and its root are computed in
float32 at least. A map of one position, or of equal ones, has no covariance: its z is 0. The
authors' code reads at most the central 1000 x 1000 positions; here all are read. There is one
hidden value at least.

Cost: 2 C h + h + C parameters with h = C // reduction, 16,672 at 256 channels; about C^2 M + 10 C^3
multiplications an image.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -1.12 (-7.28 to +5.03), 3 seeds.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.attention._checks import check_reduction
from models.attention._maps import without_autocast
from models.attention._numerics import wide
from models.attention._registry import register
from models.attention.fast.gates import scale

ITERATIONS = 5
TINY = 1e-10  # beside a trace, so that a flat map has a finite root and gradient


@register()
class SOCA(nn.Module):
    """Scales each channel.

    reduction: there are max(1, C // reduction) hidden values. Raises ValueError unless it is a
    whole number from 1 up to the channels (or 16).
    """

    tutorial_order = ("reduction",)
    usual_values = (8, 16, 32)

    def __init__(self, channels: int, *, reduction: int = 8) -> None:
        super().__init__()
        check_reduction("reduction", reduction, channels, 16)
        hidden = max(channels // reduction, 1)
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        with without_autocast(x):
            z = root_means(covariance(x)).to(x.dtype)  # [B, C, 1]
        return scale(x, self.conv_du(z[..., None]))


def covariance(x: Tensor) -> Tensor:
    """Covariance of the channels over positions, [B, C, H, W] -> [B, C, C], in float32 at least."""
    values = x.flatten(2).to(wide(x.dtype))
    values = values - values.mean(2, keepdim=True)
    return values @ values.transpose(1, 2) / values.shape[2]


def root_means(matrix: Tensor) -> Tensor:
    """Means of the rows of the square root: [B, C, C], positive semidefinite, -> [B, C, 1]."""
    trace = matrix.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] + TINY
    triple = 3 * torch.eye(matrix.shape[1], dtype=matrix.dtype, device=matrix.device)
    root = matrix / trace
    inverse = (triple - root) / 2
    root = root @ inverse  # the first iteration, which begins with the identity
    for _ in range(ITERATIONS - 2):
        step = (triple - inverse @ root) / 2
        root, inverse = root @ step, step @ inverse
    means = root.mean(2, keepdim=True)
    return (3 * means - root @ (inverse @ means)) / 2 * trace.sqrt()
