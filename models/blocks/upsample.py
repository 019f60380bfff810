"""Upsampling that depends on the content of the map: CARAFE, DySample, EUCB.

Parameters of the constructors: inputs are channels, scale is the factor by which height and width
grow.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv


def reassemble(x: Tensor, logits: Tensor, side: int, scale: int) -> Tensor:
    """The sums over windows of a map, weighted by a softmax for each pixel of the output.

    CARAFE, equations 1 to 4. The windows are those of the small map, so the large one is never
    unfolded.

    Args:
        x: map [B, C, H, W].
        logits: [B, side^2 scale^2, H, W]; the weights of a window come first.
        side: of the windows, odd, in pixels of x.
        scale: factor of height and width.

    Returns:
        [B, C, scale H, scale W].
    """
    batch, channels, height, width = x.shape
    weights = logits.view(batch, side**2, scale**2, height * width).softmax(1)
    windows = F.unfold(x, side, padding=side // 2).view(batch, channels, side**2, height * width)
    pixels = torch.einsum("bckp,bksp->bcsp", windows, weights)
    return F.pixel_shuffle(pixels.reshape(batch, -1, height, width), scale)


class CARAFE(nn.Module):
    """Upsampling by kernels that are predicted from the map (Wang et al., ICCV 2019).

    Args:
        inputs: channels.
        k_enc: side of the convolution that predicts the kernels.
        k_up: side of the kernels.
        c_mid: channels from which they are predicted.
        scale: factor of height and width.
    """

    def __init__(
        self, inputs: int, k_enc: int = 3, k_up: int = 5, c_mid: int = 64, scale: int = 2
    ) -> None:
        super().__init__()
        self.side, self.scale = k_up, scale
        self.comp = Conv(inputs, c_mid)
        self.enc = Conv(c_mid, (scale * k_up) ** 2, k_enc, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, scale H, scale W]."""
        return reassemble(x, self.enc(self.comp(x)), self.side, self.scale)


class ProjectedCARAFE(nn.Module):
    """`CARAFE` with a channel count: plain convolutions, and one to `outputs` channels at the end.

    `kernel` is the side of both the predicted kernels and the convolution that predicts them.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, scale: int = 2) -> None:
        super().__init__()
        self.side, self.scale = kernel, scale
        self.down = nn.Conv2d(inputs, inputs // 4, 1)
        self.encoder = nn.Conv2d(inputs // 4, (scale * kernel) ** 2, kernel, 1, kernel // 2)
        self.out = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] -> [B, outputs, scale H, scale W]."""
        return self.out(reassemble(x, self.encoder(self.down(x)), self.side, self.scale))


class DySample(nn.Module):
    """Upsampling by sampling the map at learned places (Liu et al., ICCV 2023).

    Each pixel of the output is the bilinear value of the map at its own place plus an offset of
    0.25 times what a 1x1 convolution predicts, in pixels of the map. It starts almost as bilinear
    upsampling.

    Args:
        inputs: channels.
        scale: factor of height and width.
        style: "lp" predicts the offsets of all scale^2 pixels at once, "pl" from the map whose
            channels are first spread over these pixels.
        groups: of channels, each with its own offsets.
        dyscope: whether 0.5 times a sigmoid of a second convolution replaces the factor 0.25.
    """

    def __init__(
        self,
        inputs: int,
        scale: int = 2,
        style: str = "lp",
        groups: int = 4,
        dyscope: bool = False,
    ) -> None:
        super().__init__()
        spread = scale**2 if style == "pl" else 1
        if style not in ("lp", "pl"):
            raise ValueError(f"style {style!r}: must be lp or pl")
        if inputs % groups or inputs % spread:
            raise ValueError(f"groups {groups}: {inputs} channels must be a multiple, and of scale")
        self.scale, self.spreads, self.groups = scale, style == "pl", groups
        offsets = 2 * groups * (1 if self.spreads else scale**2)
        self.offset = nn.Conv2d(inputs // spread, offsets, 1)
        nn.init.normal_(self.offset.weight, std=1e-3)
        assert self.offset.bias is not None
        nn.init.zeros_(self.offset.bias)
        self.scope = nn.Conv2d(inputs // spread, offsets, 1, bias=False) if dyscope else None
        if self.scope is not None:
            nn.init.zeros_(self.scope.weight)
        self.register_buffer("init_pos", _own_places(scale, groups))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, scale H, scale W]."""
        batch, channels, height, width = x.shape
        offsets = self._offsets(x).view(batch, 2, -1, height, width)
        places = (offsets + _pixel_centres(x)) * 2 / x.new_tensor([width, height]).view(2, 1, 1, 1)
        grid = F.pixel_shuffle(places.flatten(1, 2) - 1, self.scale)
        grid = grid.view(batch, 2, self.groups, *grid.shape[2:]).permute(0, 2, 3, 4, 1)
        parts = x.reshape(batch * self.groups, -1, height, width)
        out = F.grid_sample(parts, grid.flatten(0, 1), padding_mode="border", align_corners=False)
        return out.view(batch, channels, *out.shape[2:])

    def _offsets(self, x: Tensor) -> Tensor:
        """Offsets from the centre of each pixel of x, [B, 2 groups scale^2, H, W], x before y."""
        source = F.pixel_shuffle(x, self.scale) if self.spreads else x
        factor = 0.25 if self.scope is None else 0.5 * self.scope(source).sigmoid()
        predicted = self.offset(source) * factor
        if self.spreads:
            predicted = F.pixel_unshuffle(predicted, self.scale)
        return predicted + self.init_pos


class CountedDySample(DySample):
    """`DySample` with a channel count before its options, which is that of the input."""

    def __init__(self, inputs: int, count: int, *options: Any) -> None:
        super().__init__(inputs, *options)


def _own_places(scale: int, groups: int) -> Tensor:
    """Where the centres of the scale^2 pixels lie, from that of their pixel, in its sides.

    [1, 2 groups scale^2, 1, 1], x before y.
    """
    steps = (torch.arange(scale) - (scale - 1) / 2) / scale
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack((columns, rows)).flatten(1)  # 2 scale^2
    return places[:, None].repeat(1, groups, 1).view(1, -1, 1, 1)


def _pixel_centres(x: Tensor) -> Tensor:
    """The centres of the pixels of a map, [2, 1, H, W], x before y."""
    rows = torch.arange(x.shape[2], dtype=x.dtype, device=x.device) + 0.5
    columns = torch.arange(x.shape[3], dtype=x.dtype, device=x.device) + 0.5
    grid = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack(grid[::-1])[:, None]


class EUCB(nn.Module):
    """Doubles the map by nearest neighbours, then a depth-wise and a 1x1 convolution.

    Rahman et al., EMCAD, CVPR 2024. The authors' shuffle with one channel per group changes
    nothing and is left out.
    """

    def __init__(self, inputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        depthwise = Conv(inputs, inputs, kernel, stride, groups=inputs, act=nn.ReLU())
        self.up_dwc = nn.Sequential(nn.Upsample(scale_factor=2), depthwise)
        self.pwc = nn.Sequential(nn.Conv2d(inputs, inputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, 2 H, 2 W]."""
        return self.pwc(self.up_dwc(x))
