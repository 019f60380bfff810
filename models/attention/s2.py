"""S2Attention: channels look one position up, down, left and right, and a split attention weighs
three such views.

Yu, Li, Cai, Sun and Li, "S2-MLPv2: Improved Spatial-Shift MLP Architecture for Vision", 2021,
https://arxiv.org/abs/2108.01072, section 3.2. With quarters of the channels,

    a, b, c = mlp1(x), C channels each
    a' = quarters of a moved down, up, right, left
    b' = quarters of b moved right, left, down, up
    s = sum over positions of a' + b' + c;  g = softmax over the three of W2 gelu(W1 s)
    out = mlp2(g_a a' + g_b b' + g_c c)

where mlp1 and mlp2 are linear at each position. "Down" means that a row takes the values of the row
above it and that the first row keeps its own; the others likewise. With C not divisible by 4, the
last quarter has the rest.

It is computed in another order with the same result. g is the same for all positions, so that the
parts are weighed before they are moved. Moving changes the sum of a map by its first and last row
or column only, and mlp1 is linear, so that s follows from sums of x, in float32 at least.

[B, C, H, W] -> [B, C, H, W]. Cost: 8 C^2 + 4 C parameters, 525,312 at 256.

Choices: s is a sum as in public code, which makes g depend on the size of the map; `pooling: mean`
does not. The code that tutorials copy moves maps in place, so that half of the moves spread the
first row or column over the whole map, and its split attention takes 512 channels only; here both
are as the paper has them. This replaces x, it does not scale it.

Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: hurts, -12.09 (-18.24 to -5.95), 3 seeds.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._maps import apply_at_positions, without_autocast
from models.attention._numerics import wide
from models.attention._registry import register

# Sums over a large map make shares so small that a CPU multiplies maps by them at half speed.
NEGLIGIBLE = 1e-20


class _SplitAttention(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp1 = nn.Linear(channels, channels, bias=False)
        self.mlp2 = nn.Linear(channels, 3 * channels, bias=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """s, [B, C] in float32 or float64, -> g, [B, 3, C]: shares of the three parts."""
        hidden = F.gelu(F.linear(pooled, self.mlp1.weight.to(pooled.dtype)))
        logits = F.linear(hidden, self.mlp2.weight.to(pooled.dtype))
        shares = logits.unflatten(1, (3, -1)).softmax(1)
        return shares * (shares > NEGLIGIBLE)


@register("S2", "S2_Attention")
class S2Attention(nn.Module):
    """Replaces each position by a mixture of itself and its four neighbours.

    pooling: "sum" for the paper's sum over positions, or "mean", which is the same for maps of any
    size. Raises ValueError for another value.
    """

    def __init__(self, channels: int, *, pooling: str = "sum") -> None:
        super().__init__()
        if pooling not in ("sum", "mean"):
            raise ValueError(f"pooling={pooling!r}: must be sum or mean")
        self.pooling = pooling
        self.mlp1 = nn.Linear(channels, 3 * channels)
        self.mlp2 = nn.Linear(channels, channels)
        self.split_attention = _SplitAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        with without_autocast(x):
            shares = self.split_attention(self.pool(x))  # [B, 3, C]
        z = apply_at_positions(self.mlp1, x)  # [B, 3 C, H, W]
        a, b, c = (z * shares.flatten(1)[..., None, None].to(z.dtype)).chunk(3, 1)
        mixed = move(a, "down", "up", "right", "left") + move(b, "right", "left", "down", "up") + c
        return apply_at_positions(self.mlp2, mixed).to(x.dtype)

    def pool(self, x: Tensor) -> Tensor:
        """s of the text above: x, [B, C, H, W], -> [B, C] in float32 or float64."""
        kind = wide(x.dtype)
        rows, columns = x.sum(3, dtype=kind), x.sum(2, dtype=kind)  # [B, C, H], [B, C, W]
        sums = torch.stack(
            (rows.sum(2), rows[..., 0] - rows[..., -1], columns[..., 0] - columns[..., -1])
        )
        weight, bias = (one.to(kind) for one in (self.mlp1.weight, self.mlp1.bias))
        # The sums of a, b and c, and by how much they change where maps move down or right.
        whole, down, right = (one.chunk(3, 1) for one in F.linear(sums, weight))  # 3 of [B, C]
        changes = edge_changes(down[0], right[0]) + edge_changes(right[1], down[1])
        area = x.shape[2] * x.shape[3]
        pooled = sum(whole, changes) + area * bias.unflatten(0, (3, -1)).sum(0)
        return pooled / area if self.pooling == "mean" else pooled

    def extra_repr(self) -> str:
        return f"pooling={self.pooling}"


def split_quarters(x: Tensor) -> list[Tensor]:
    """Split the channels, dimension 1, into three parts of C // 4 and the rest."""
    quarter, channels = x.shape[1] // 4, x.shape[1]
    return list(x.split([quarter, quarter, quarter, channels - 3 * quarter], 1))


def edge_changes(first: Tensor, second: Tensor) -> Tensor:
    """By how much the sums of maps change, [B, C], where quarters 1 and 2 move to and fro along
    one side of the map, and quarters 3 and 4 along the other.

    first and second: the changes by a move along those sides, [B, C].
    """
    ahead, across = split_quarters(first), split_quarters(second)
    return torch.cat((ahead[0], -ahead[1], across[2], -across[3]), 1)


def move(x: Tensor, *directions: str) -> Tensor:
    """Move quarters of the channels of x, [B, C, H, W], by one position each.

    The row or column at the edge from which a quarter moves stays there too.
    """
    moved = []
    for part, direction in zip(split_quarters(x), directions, strict=True):
        dim = 2 if direction in ("down", "up") else 3
        rest = part.shape[dim] - 1
        if direction in ("down", "right"):
            pieces = (part.narrow(dim, 0, 1), part.narrow(dim, 0, rest))
        else:
            pieces = (part.narrow(dim, 1, rest), part.narrow(dim, rest, 1))
        moved.append(torch.cat(pieces, dim))
    return torch.cat(moved, 1)
