"""ExternalAttention: every position is written anew from a few learned rows, the memories.

Guo, Liu, Mu and Hu, "Beyond Self-attention: External Attention using Two Linear Layers for Visual
Tasks", TPAMI 2022, https://arxiv.org/abs/2105.02358, with its "double normalisation". With memories
M_k, S x C, and M_v, C x S,

    t = conv1x1(x)
    A = softmax of M_k t over positions;    A = A / (1e-9 + sum of A over the S rows)
    out = relu(x + BN(conv1x1(M_v A)))

[B, C, H, W] keeps its shape.

Choices:

- The two convolutions and the memories are linear, so that M_k conv1 and conv2 M_v are multiplied
  first: with S = 64 and 256 channels a fifth of the arithmetic, and the same numbers. conv1's bias
  adds the same to all positions of a row, which the softmax drops: it has no gradient.
- M_v begins as the transpose of M_k. In the authors' code it begins as a view of it, which any copy
  unties; released weights are two.
- `mode="core"` is the form of tutorials: memories alone, with neither convolutions nor x + …, so
  that its output is near zero at first. There the sum over rows is kept above 1e-30.
- The last ReLU drops what is negative: after layers with SiLU this is no drop-in.
- The softmax and the sum are computed in float32.

Cost: 2 C^2 + 3 C + 2 S C parameters, 164,608 at 256 channels; 2 S C for the core.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.43 (-6.59 to +5.73), 3 seeds.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.attention._checks import check_count
from models.attention._numerics import apply_batch_norm, wide
from models.attention._registry import register
from models.attention.fast._blocks import like

EPSILON, SMALLEST_SUM = 1e-9, 1e-30


@register("External_attention", "External_Attention")
class ExternalAttention(nn.Module):
    """Rewrites every position from S memories.

    Args:
        channels: C, of the map.
        S: number of memories.
        mode: "block" for the whole block, or "core" for the memories alone.

    Raises:
        ValueError: S is not a whole number from 1 on, or mode has another value.
    """

    tutorial_order = ("S", "mode")
    dead_parameters = ("conv1.bias",)
    usual_values = (8, 16, 32, 64)

    def __init__(self, channels: int, *, S: int = 64, mode: str = "block") -> None:
        super().__init__()
        check_count("S", S, 64)
        if mode not in ("block", "core"):
            raise ValueError(f"mode={mode!r}: must be block or core")
        self.mode = mode
        if mode == "core":
            self.mk = nn.Linear(channels, S, bias=False)
            self.mv = nn.Linear(S, channels, bias=False)
            for memory in (self.mk, self.mv):
                nn.init.normal_(memory.weight, std=1e-3)
            return
        self.conv1 = nn.Conv2d(channels, channels, 1)
        self.linear_0 = nn.Conv1d(channels, S, 1, bias=False)
        self.linear_1 = nn.Conv1d(S, channels, 1, bias=False)
        self.linear_1.weight.data.copy_(self.linear_0.weight.data.transpose(0, 1))
        self.conv2 = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x."""
        if self.mode == "core":
            attention = _softmax(F.conv2d(x, _filters(self.mk.weight)))
            attention = attention / attention.sum(1, keepdim=True).clamp_min(SMALLEST_SUM)
            out = F.conv2d(attention.to(x.dtype), _filters(self.mv.weight)).to(x.dtype)
            return like(out, x)
        keys, values = self.folded()
        attention = _softmax(F.conv2d(x, *keys))  # [B, S, H, W]
        attention = attention / (attention.sum(1, keepdim=True) + EPSILON)
        found = apply_batch_norm(self.conv2[1], F.conv2d(attention.to(x.dtype), values))  # type: ignore[arg-type]
        return (x + found.to(x.dtype)).relu()

    def folded(self) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Weight and bias of M_k conv1, and the weight of conv2 M_v, all as 1x1 convolutions."""
        keys, values = self.linear_0.weight[:, :, 0], self.linear_1.weight[:, :, 0]
        before, after = self.conv1.weight[:, :, 0, 0], self.conv2[0].weight[:, :, 0, 0]  # type: ignore[index]
        bias = keys @ self.conv1.bias  # type: ignore[operator]
        return (_filters(keys @ before), bias), _filters(after @ values)

    def extra_repr(self) -> str:
        return f"mode={self.mode}"


def _filters(matrix: Tensor) -> Tensor:
    """[outputs, inputs] -> the weight of a 1x1 convolution, [outputs, inputs, 1, 1]."""
    return matrix[:, :, None, None]


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over the positions of [B, S, H, W], in float32 at least."""
    shape = logits.shape
    return logits.flatten(2).softmax(2, dtype=wide(logits.dtype)).reshape(shape)
