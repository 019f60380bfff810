"""FCA, frequency channel attention: SE on other frequencies of a map than its mean.

Qin, Zhang, Wu and Li, "FcaNet: Frequency Channel Attention Networks", ICCV 2021,
https://arxiv.org/abs/2012.11879, section 3. The mean of a map is the lowest frequency of its
discrete cosine transform. The map is averaged to dct_h x dct_w cells z, the channels are split into
n equal parts, and part i is described by the frequency (u_i, v_i):

    y = sum over p, q of z[p, q] B_u(p) B_v(q)
    B_u(p) = cos(pi u (p + 1/2) / L) / sqrt(L), times sqrt(2) if u > 0, with L cells
    out = x sigmoid(W2 relu(W1 y))

freq_sel_method names the frequencies: "top16" the 16 that did best alone in the paper, "low16" the
16 lowest, "bot16" the 16 worst. [B, C, H, W] keeps its shape.

Choices: the 7 x 7 frequencies are multiplied by dct_h // 7 and dct_w // 7, as in the authors' code.
Below 7 cells that would be 0, the mean alone, and is refused. The default is top16, or the longest
shorter list that divides the channels. The layers have no biases, and one hidden channel at least.
dct_layer.weight is a constant in the state dict, as in published weights; averaging and projection
are one product with a table made from it. For the frequency (0, 0), y is the mean times
sqrt(dct_h dct_w).

Cost: 2 C^2 / r parameters; forward reads the map twice and writes it once; x alone is kept for
backward.
Verdict: in the neck of yolov5n, points of mAP50-95, simultaneous 95 % intervals (docs/evidence.md):
- bccd, fine-tuned from COCO, 8 epochs, paper start: no evidence, -0.35 (-6.48 to +5.78), 3 seeds.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from models.attention._checks import check_count, check_reduction
from models.attention._numerics import cells_of, wide
from models.attention._registry import register
from models.attention.fast.gates import scale

SIDE = 7  # cells on a side of the maps on which the paper ranks frequencies
COUNTS = (16, 8, 4, 2, 1, 32)  # how many frequencies; the default is the first that divides C
# Frequencies as two digits, of rows u and of columns v, the best (or lowest) first.
FREQUENCIES = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23"
    " 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16"
    " 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55"
    " 53 33 63",
}


@register("FcaNet", "FcaLayer", "MultiSpectralAttentionLayer")
class FCA(nn.Module):
    """Scales each channel by a gate between 0 and 1.

    Args:
        channels: C, of the map.
        dct_h: rows of cells, 7 or more.
        dct_w: columns of cells, 7 or more.
        reduction: there are max(1, C // reduction) hidden channels.
        freq_sel_method: top, low or bot, followed by 1, 2, 4, 8, 16 or 32 frequencies, a number
            that divides the channels; None means top16, or less if 16 does not divide them.

    Raises:
        ValueError: an option has another value.
    """

    tutorial_order = ("dct_h", "dct_w", "reduction", "freq_sel_method")
    usual_values = (14, 28, 56)

    def __init__(
        self,
        channels: int,
        *,
        dct_h: int = SIDE,
        dct_w: int = SIDE,
        reduction: int = 16,
        freq_sel_method: str | None = None,
    ) -> None:
        super().__init__()
        for name, side in (("dct_h", dct_h), ("dct_w", dct_w)):
            if check_count(name, side, SIDE) < SIDE:
                raise ValueError(f"{name}={side}: must be {SIDE} or more, or all frequencies are 0")
        check_reduction("reduction", reduction, channels, 16)
        frequencies = choose_frequencies(freq_sel_method, channels)
        self.dct_layer = _Basis(frequencies, channels // len(frequencies), dct_h, dct_w)
        hidden = max(channels // reduction, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W] in the type of x; y is in float32 at least."""
        table = self.dct_layer(x)  # [n, M] with M = H W
        # Every frequency of every channel: one large product is faster than n small ones.
        all_of_them = x.flatten(2).to(table.dtype) @ table.t()  # [B, C, n]
        y = all_of_them.unflatten(1, (len(table), -1)).diagonal(dim1=1, dim2=3)  # [B, C / n, n]
        y = y.transpose(1, 2).flatten(1)  # [B, C]
        gate = self.fc(y.to(self.fc[0].weight.dtype))  # [B, C]
        return scale(x, gate[:, :, None, None])


class _Basis(nn.Module):
    """The constant B_u(p) B_v(q) of every channel; `members` channels share a frequency."""

    weight: Tensor  # [C, dct_h, dct_w]

    def __init__(self, frequencies: list[tuple[int, int]], members: int, h: int, w: int) -> None:
        super().__init__()
        self.members = members
        products = [
            torch.outer(cosines(u * (h // SIDE), h), cosines(v * (w // SIDE), w))
            for u, v in frequencies
        ]
        self.register_buffer("weight", torch.stack(products).float().repeat_interleave(members, 0))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> what each position counts in the sum of each part, [n, H W]."""
        basis = self.weight[:: self.members].to(wide(x.dtype))  # [n, dct_h, dct_w]
        rows, columns = (
            table / table.sum(1, keepdim=True)  # means of the cells
            for table in (cells_of(x, dim, basis.shape[dim - 1]) for dim in (2, 3))
        )
        return (rows.t() @ basis @ columns).flatten(1)


def cosines(frequency: int, cells: int) -> Tensor:
    """Return B of one frequency at all cells, [cells], float64."""
    angle = math.pi * frequency / cells * (torch.arange(cells, dtype=torch.float64) + 0.5)
    return angle.cos() * math.sqrt((2 if frequency else 1) / cells)


def choose_frequencies(method: str | None, channels: int) -> list[tuple[int, int]]:
    """Return the frequencies (u, v) that a method names. Raises ValueError for another method."""
    if method is None:
        method = f"top{next(count for count in COUNTS if channels % count == 0)}"
    known = [f"{kind}{count}" for kind in FREQUENCIES for count in sorted(COUNTS)]
    if method not in known:
        raise ValueError(f"freq_sel_method={method!r}: must be one of {', '.join(known)}")
    count = int(method[3:])
    if channels % count:
        fitting = max(less for less in COUNTS if channels % less == 0)
        raise ValueError(
            f"freq_sel_method={method!r}: {count} does not divide the {channels} channels; write"
            f" {method[:3]}{fitting}"
        )
    return [(int(pair[0]), int(pair[1])) for pair in FREQUENCIES[method[:3]].split()[:count]]
