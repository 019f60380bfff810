"""DoubleAttention: attention gathers summaries of the whole map, and attention distributes them.

Chen, Kalantidis, Li, Yan and Feng, "A2-Nets: Double Attention Networks", NeurIPS 2018,
https://arxiv.org/abs/1810.11579. With M = H * W pixels, features A [c_m, M], gathering maps B and
distribution vectors V [c_n, M] (section 3; convA, convB and convV are 1x1 convolutions):

    A = convA(x),  B = softmax over M of convB(x),  V = softmax over c_n, at each pixel, of convV(x)
    G = A B^T, the c_n summaries of c_m numbers each;  Z = G V;  out = x + conv_reconstruct(Z)

It is computed in another order with the same result, since rows of B and columns of V sum to 1 and
the rest is linear: P = x B^T, G' = R (Wa P + ba) + rb, out = x + G' V, where Wa, ba are those of
convA and R, rb those of conv_reconstruct. So A, Z and the reconstructed map never exist.

[B, C, H, W] -> the same, or [B, c_m, H, W] without reconstruction. C c_m + c_m + 2 (C c_n + c_n)
parameters, and with reconstruction c_m C + C. Kept for backward: x, B and V, 1 + 2 c_n / C maps.

Where code and paper differ: the paper's block adds its result to the input. Public code does not,
and returns c_m channels unless it is asked to reconstruct. Here both are on by default, and
conv_reconstruct starts at zero, so that a new module is the identity (the other parameters have no
gradient until it has moved). The softmax of one public copy runs over the batch; not here.
convB.bias is the same for all pixels, so that softmax drops it: its gradient is zero but for
rounding.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, +1.41 (-4.81 to +7.63), 3 seeds.
- bccd, fine-tuned from COCO, 8 epochs, attention at 10 times the learning rate, identity start: no
  evidence, +1.32 (-2.35 to +4.99), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, paper start: no evidence, -0.37 (-3.77 to +3.04), 3 seeds.
- neudet, fine-tuned from COCO, 4 epochs, attention at 10 times the learning rate, identity start:
  no evidence, -0.09 (-2.63 to +2.45), 3 seeds.
- bccd, from scratch, 30 epochs, the five best, paper start: no evidence, +0.36 (-3.34 to +4.06), 3
  seeds.
- bccd, from scratch, 30 epochs, paper start: no evidence, -0.82 (-3.03 to +1.40), 3 seeds.
- bccd, from scratch, 12 epochs, paper start: no evidence, -2.34 (-8.55 to +3.87), 5 seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import Tensor, nn

from models.attention._checks import check_count, check_flag
from models.attention._numerics import wide
from models.attention._registry import register


@register("DoubleAttentionLayer", "A2Attention")
class DoubleAttention(nn.Module):
    """Adds to each pixel a mixture of summaries of the whole map.

    It warns for c_n=1.

    Args:
        channels: of the map.
        c_m: channels of the summaries; None means a quarter of the channels, at least 1.
        c_n: number of the summaries; None means a quarter of the channels, at least 2.
        reconstruct: whether to convert the c_m channels back to `channels`.
        residual: whether to add the input; None means the same as reconstruct.

    Raises:
        ValueError: A number is not whole or below 1, or residual is set without reconstruct.
    """

    dead_parameters = ("convB.bias",)

    def __init__(
        self,
        channels: int,
        *,
        c_m: int | None = None,
        c_n: int | None = None,
        reconstruct: bool = True,
        residual: bool | None = None,
    ) -> None:
        super().__init__()
        c_m = max(1, channels // 4) if c_m is None else check_count("c_m", c_m)
        c_n = max(2, channels // 4) if c_n is None else check_count("c_n", c_n)
        residual = reconstruct if residual is None else residual
        check_flag("reconstruct", reconstruct)
        check_flag("residual", residual)
        if residual and not reconstruct:
            raise ValueError(
                "residual=True: needs reconstruct=True, or c_m channels would be added to those of"
                " the input"
            )
        if c_n == 1:
            warnings.warn(
                "c_n=1: every pixel of the output becomes equal, since a softmax over one value is"
                f" 1; write {{c_m: {c_m}, c_n: {max(2, channels // 4)}}}",
                stacklevel=2,
            )
        self.convA = nn.Conv2d(channels, c_m, 1)
        self.convB = nn.Conv2d(channels, c_n, 1)
        self.convV = nn.Conv2d(channels, c_n, 1)
        self.conv_reconstruct = nn.Conv2d(c_m, channels, 1) if reconstruct else None
        self.residual = self.starts_as_identity = residual
        if (
            residual
            and self.conv_reconstruct is not None
            and self.conv_reconstruct.bias is not None
        ):
            nn.init.zeros_(self.conv_reconstruct.weight)
            nn.init.zeros_(self.conv_reconstruct.bias)
        if not reconstruct and c_m != channels:
            self.out_channels = c_m

    @classmethod
    def from_list(
        cls, values: list[object], channels: int, scaled: Callable[[int], int]
    ) -> dict[str, object]:
        """Read a YAML list as the tutorials' class does, without a residual.

        Args:
            values: `[c_m]`, `[c_m, c_n]` or `[c_m, c_n, reconstruct]`; without a third value there
                is no reconstruction, and an empty list means the defaults.
            channels: of the incoming map.
            scaled: from a channel count in YAML to the one at the graph's width; it applies to c_m.

        Returns:
            Keyword arguments of the class.

        Raises:
            ValueError: the list has more values, or c_m is not a whole number from 1 on.
        """
        if len(values) > 3:
            raise ValueError("takes at most 3 values: c_m, c_n, reconstruct")
        if not values:
            return {}
        options = dict(zip(("c_m", "c_n", "reconstruct"), values, strict=False))
        return {
            "reconstruct": False,
            "residual": False,
            **options,
            "c_m": scaled(check_count("c_m", options["c_m"])),
        }

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W], or [B, c_m, H, W] without reconstruction.

        Both softmaxes are computed in float32 at least.
        """
        pixels = x.flatten(2)  # [B, C, M]
        gather = _softmax(self.convB(x).flatten(2), 2)  # [B, c_n, M], the B above
        share = _softmax(self.convV(x).flatten(2), 1)  # [B, c_n, M], the V above
        summaries = _through(self.convA, pixels @ gather.transpose(1, 2))  # [B, c_m, c_n], G
        if self.conv_reconstruct is not None:
            summaries = _through(self.conv_reconstruct, summaries)  # [B, C, c_n]
        if x.stride(1) == 1:  # the transposed product is channels-last, like x
            out = (share.transpose(1, 2) @ summaries.transpose(1, 2)).transpose(1, 2)
        else:
            out = summaries @ share
        out = out.unflatten(2, x.shape[2:]).to(x.dtype)
        return x + out if self.residual else out

    def extra_repr(self) -> str:
        return f"residual={self.residual}"


def _softmax(logits: Tensor, dim: int) -> Tensor:
    return logits.softmax(dim, dtype=wide(logits.dtype)).to(logits.dtype)


def _through(conv: nn.Conv2d, columns: Tensor) -> Tensor:
    """A 1x1 convolution of columns, [B, channels, n]."""
    assert conv.bias is not None
    return conv.weight.flatten(1) @ columns + conv.bias[:, None]
