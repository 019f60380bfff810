"""MLCA, mixed local channel attention: ECA for the whole map, mixed with ECA for its cells.

Wan, Lu, Shen, Xu and Tang, "Mixed Local Channel Attention for Object Detection", Engineering
Applications of Artificial Intelligence 123, 2023, figure 3. Adaptive average pooling gives means of
L x L cells, and

    global = sigmoid(conv(mean of the cells))
    local = sigmoid(conv_local(means of the cells))
    cell = (1 - w) global + w local, with w = 0.5
    out = x * (adaptive average pooling of the cells to H x W)

with convolutions of k taps along the channels, k = |log2 C + b| / gamma rounded down, and then up
to an odd number. [B, C, H, W] keeps its shape.

Choices, which are those of the authors' code: conv_local runs over one sequence, all channels of
the first cell, then all of the second, so that the last channel of a cell and the first of the next
are neighbours. Where H is not a multiple of L, a position gets the mean of the cells that it
overlaps. Both poolings are products with tables made from H and W, the same numbers as PyTorch's
adaptive pooling, which exporters refuse.

Cost: 2 k parameters; forward reads the map twice, and writes the output and a gate of its size.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.83 (-6.94 to +5.28), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, -1.81 (-4.90 to +1.28), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.62 (-4.02 to +2.77), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, -0.25 (-2.43 to +1.93), 3 seeds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.attention._checks import check_count
from models.attention._numerics import cells_of
from models.attention._registry import register


@register("MLCAttention", "MLCA_Attention")
class MLCA(nn.Module):
    """Scales each channel by a gate between 0 and 1 that changes from cell to cell.

    Args:
        channels: C, of the map.
        local_size: L; there are L x L cells, whatever the size of the map.
        gamma: divisor in the rule for k; above 0.
        b: summand in the rule for k.
        local_weight: w, the share of the cells' own gates, 0 to 1.

    Raises:
        ValueError: an option has another value.
    """

    tutorial_order = ("local_size", "gamma", "b", "local_weight")

    def __init__(
        self,
        channels: int,
        *,
        local_size: int = 5,
        gamma: float = 2,
        b: float = 1,
        local_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.local_size = check_count("local_size", local_size, 5)
        if _number("gamma", gamma) <= 0:
            raise ValueError(f"gamma={gamma!r}: must be above 0, such as 2")
        if not 0 <= _number("local_weight", local_weight) <= 1:
            raise ValueError(f"local_weight={local_weight!r}: must be from 0 to 1, such as 0.5")
        self.local_weight = float(local_weight)
        taps = int(abs(math.log2(channels) + _number("b", b)) / gamma) | 1
        self.conv = nn.Conv1d(1, 1, taps, padding=taps // 2, bias=False)
        self.conv_local = nn.Conv1d(1, 1, taps, padding=taps // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x; means are in float32 at least."""
        table = self.table(x)  # [M, L L] with M = H W
        means = x.flatten(2).to(table.dtype) @ (table / table.sum(0))  # [B, C, L L]
        gates = self.gates(means).to(x.dtype)  # [B, L L, C]
        spread = (table / table.sum(1, keepdim=True)).to(x.dtype)  # [M, L L]
        # The order of the operands decides the memory layout of the product, which x should share.
        if x.stride(1) == 1:
            gate = (spread @ gates).transpose(1, 2)  # [B, C, M]
        else:
            gate = gates.transpose(1, 2) @ spread.t()
        return x * gate.to(x.dtype).unflatten(2, x.shape[2:])

    def table(self, x: Tensor) -> Tensor:
        """Which positions of x, [B, C, H, W], belong to which cell, 1 or 0: [M, L L]."""
        rows, columns = (cells_of(x, dim, self.local_size).t() for dim in (2, 3))
        both = rows[:, None, :, None] * columns[None, :, None, :]  # [H, W, L, L]
        return both.flatten(2).flatten(0, 1)

    def gates(self, means: Tensor) -> Tensor:
        """Means of the cells, [B, C, L L] -> gates between 0 and 1, [B, L L, C]."""
        means = means.to(self.conv.weight.dtype).transpose(1, 2)  # [B, L L, C]
        whole = self.conv(means.mean(1, keepdim=True)).sigmoid()  # [B, 1, C]
        sequence = means.flatten(1)[:, None]  # [B, 1, L L C]
        own = self.conv_local(sequence).sigmoid().unflatten(2, means.shape[1:]).squeeze(1)
        return torch.lerp(whole.expand_as(own), own, self.local_weight)

    def extra_repr(self) -> str:
        return f"local_size={self.local_size}, local_weight={self.local_weight:g}"


def _number(name: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{name}={value!r}: must be a number")
    return value
