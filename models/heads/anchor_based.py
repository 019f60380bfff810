"""The anchor head: feature maps become raw maps, and raw maps become boxes with scores.

models/yolo.py gives it the maps that the head's YAML row names. A loss takes the raw maps and a
HeadSpec, and utils/nms.py the decoded rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from utils.families import V5
from utils.structures import HeadSpec

Levels = Sequence[Sequence[tuple[float, float]]]  # per level its anchors' (width, height)


class Detect(nn.Module):
    """One 1x1 convolution per level to na * (5 + classes) channels.

    The buffer `anchors` [levels, na, 2] is in cells, that is pixels / stride, as in YOLOv5's
    checkpoints; set_strides() fills it.
    """

    family = V5
    anchors: Tensor
    stride: Tensor

    def __init__(self, class_count: int, anchors: int, channels: Sequence[int]) -> None:
        """Build the convolutions.

        Args:
            class_count: Number of classes.
            anchors: Number of anchors per level.
            channels: Channels of each incoming map.
        """
        super().__init__()
        self.nc = class_count
        self.no = class_count + 5
        self.nl = len(channels)
        self.na = anchors
        self.strides: tuple[float, ...] = ()
        self.register_buffer("stride", torch.zeros(self.nl), persistent=False)
        self.register_buffer("anchors", torch.zeros(self.nl, self.na, 2))
        self.m = nn.ModuleList(nn.Conv2d(width, self.no * self.na, 1) for width in channels)

    @property
    def spec(self) -> HeadSpec:
        """The head's figures that a loss or decoder needs, with the current anchors in pixels."""
        cells = self.anchors.tolist()
        anchors = tuple(
            tuple((width * stride, height * stride) for width, height in level)
            for level, stride in zip(cells, self.strides, strict=True)
        )
        return HeadSpec(self.family, self.nc, self.strides, anchors)

    def set_strides(self, strides: Sequence[float], pixels: Levels) -> None:
        """Set the strides and the anchors, and add the prior to the biases; call it once.

        Args:
            strides: Pixels per cell of each level.
            pixels: The anchors' (width, height) of each level, in pixels.
        """
        self.strides = tuple(strides)
        self.stride = torch.tensor(strides, dtype=torch.float32)
        self.set_anchors(pixels)
        self._add_bias_prior()

    def set_anchors(self, pixels: Levels) -> None:
        """Use these (width, height) pairs in pixels for each level.

        The order of the levels is reversed if their areas fall where the strides rise.
        """
        # AutoAnchor and older graphs may give the levels from coarse to fine.
        areas = [sum(width * height for width, height in level) for level in pixels]
        if (areas[-1] - areas[0]) * (self.strides[-1] - self.strides[0]) < 0:
            pixels = pixels[::-1]
        cells = [
            [(w / stride, h / stride) for w, h in level]
            for level, stride in zip(pixels, self.strides, strict=True)
        ]
        self.anchors = torch.tensor(cells).to(self.anchors)

    def _add_bias_prior(self) -> None:
        """Begin with about 8 objects per 640 px image and even classes.

        Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, section 3.3.
        """
        with torch.no_grad():
            for conv, stride in zip(self.m, self.strides, strict=True):
                assert isinstance(conv, nn.Conv2d)
                assert conv.bias is not None
                bias = conv.bias.view(self.na, self.no)
                bias[:, 4] += math.log(8 / (640 / stride) ** 2)
                # Not nc - 1, so that a single class does not divide by zero.
                bias[:, 5:] += math.log(0.6 / (self.nc - 0.99999))

    def forward(self, maps: list[Tensor]) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Feature maps [B, C_i, ny, nx] -> raw maps [B, na, ny, nx, 5 + nc], one per level.

        In eval mode it returns (decoded, raw maps), decoded as in decode(). A raw map is a view of
        the convolution's output, never a copy.
        """
        raw = [self._split(self.predict(level, x)) for level, x in enumerate(maps)]
        return raw if self.training else (decode(raw, self.anchors, self.stride), raw)

    def predict(self, level: int, x: Tensor) -> Tensor:
        """The convolution of a level: [B, C, H, W] -> [B, na * no, H, W]. Variants override it."""
        return self.m[level](x)

    def _split(self, x: Tensor) -> Tensor:
        """[B, na * no, ny, nx] -> [B, na, ny, nx, no], without a copy in either memory format."""
        return x.permute(0, 2, 3, 1).unflatten(3, (self.na, self.no)).permute(0, 3, 1, 2, 4)


def decode(raw: Sequence[Tensor], anchors: Tensor, strides: Tensor) -> Tensor:
    """Turn raw maps into boxes with scores.

    With cell corner g: xy = (2s - 0.5 + g) stride, wh = (2s)^2 anchor, where s is the sigmoid of
    the raw value (Bochkovskiy et al., 2020; Jocher et al., 2022).

    Args:
        raw: Per level [B, na, ny, nx, no].
        anchors: [levels, na, 2] in cells.
        strides: [levels] pixels per cell.

    Returns:
        [B, N, no] float32: centre x, centre y, width, height in pixels, then objectness and classes
        in 0..1; N runs over level, anchor, y, x.
    """
    batch, _, _, _, width = raw[0].shape
    rows = torch.cat([level.reshape(batch, -1, width) for level in raw], dim=1)
    scores = rows.float().sigmoid_()  # in place: the copy that cat() made is nobody else's
    cells, sizes, scale = anchor_grid(
        [(level.shape[2], level.shape[3]) for level in raw], anchors, strides
    )
    xy, wh, rest = scores.split((2, 2, width - 4), dim=2)
    return torch.cat(((xy * 2 + cells) * scale, (wh * 2).square() * sizes, rest), dim=2)


def anchor_grid(
    sizes: list[tuple[int, int]], anchors: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The cell corner, anchor and stride of each of decode()'s N rows, in its order.

    Args:
        sizes: (rows, columns) of each level.
        anchors: [levels, na, 2] in cells.
        strides: [levels] pixels per cell.

    Returns:
        Cell corner - 0.5 [N, 2] in cells, anchor [N, 2] in pixels, stride [N, 1].
    """
    corners, anchor_sizes, scales = [], [], []
    anchors, strides = anchors.float(), strides.float()
    for (ny, nx), level_anchors, stride in zip(sizes, anchors, strides, strict=True):
        ys, xs = (
            torch.arange(count, dtype=torch.float32, device=anchors.device) for count in (ny, nx)
        )
        y, x = torch.meshgrid(ys, xs, indexing="ij")
        shape = (level_anchors.shape[0], ny, nx)
        corners.append(
            (torch.cat((x.unsqueeze(2), y.unsqueeze(2)), dim=2) - 0.5)
            .expand(*shape, 2)
            .reshape(-1, 2)
        )
        anchor_sizes.append(
            (level_anchors * stride).view(-1, 1, 1, 2).expand(*shape, 2).reshape(-1, 2)
        )
        scales.append(stride.expand(*shape, 1).reshape(-1, 1))
    return torch.cat(corners), torch.cat(anchor_sizes), torch.cat(scales)
