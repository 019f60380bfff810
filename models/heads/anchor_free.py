"""The anchor-free head: for each cell the distances to the sides of a box, and its classes.

models/yolo.py gives it the maps that the head's YAML row names. A loss takes the raw maps and a
HeadSpec, and utils/nms.py the decoded rows, which have no objectness. Distances are predicted as
distributions: Li et al., "Generalized Focal Loss", NeurIPS 2020, https://arxiv.org/abs/2006.04388.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv, DWConv
from models.heads.anchor_based import Levels
from utils.families import V8
from utils.structures import HeadSpec

GridSizes = tuple[tuple[int, int], ...]  # (rows, columns) of the cells of each level
MOST_SIZES = 8  # image sizes whose cell centres are cached


class DFL(nn.Module):
    """Turns distributions over bins into their means.

    The bins' values 0, 1 … are stored as a weight in checkpoints, but they are never trained.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False)
        # Where graphs are read without memory (meta), arange() would import torch's compiler, which
        # takes more than a second.
        values = torch.arange(float(bins), device="cpu").view(1, bins, 1, 1)
        with torch.no_grad():
            self.conv.weight.copy_(values)
        self.requires_grad_(False)

    def requires_grad_(self, requires_grad: bool = True) -> DFL:
        """Stay frozen, whether or not a gradient is requested."""
        return super().requires_grad_(False)

    def forward(self, logits: Tensor) -> Tensor:
        """Logits [..., bins] -> means [...], in cells."""
        return F.linear(
            logits.softmax(-1), self.conv.weight.detach().flatten(1).to(logits.dtype)
        ).squeeze(-1)


class Distance(nn.Identity):
    """Stands for DFL where a head predicts distances themselves, so that there are no bins."""

    def forward(self, distances: Tensor) -> Tensor:
        """Distances [..., 1] -> [...], in cells."""
        return distances.squeeze(-1)


class DetectV8(nn.Module):
    """Two branches of three convolutions per level: to 4 * reg_max bins, and to the classes."""

    family = V8
    stride: Tensor

    def __init__(
        self,
        class_count: int,
        reg_max: int,
        channels: Sequence[int],
        depthwise: bool = False,
        box_bias: float = 2.0,
        class_width: int = 0,
    ) -> None:
        """Build the branches.

        Args:
            class_count: Number of classes.
            reg_max: Bins of the distance to a side; 1 for a head that predicts the distance itself
                (YOLO26).
            channels: Channels of each incoming map.
            depthwise: Build the class branch of depth-wise and 1x1 convolutions (YOLO11) instead of
                3x3 ones (YOLOv8).
            box_bias: Initial bias of the bins.
            class_width: Channels within the class branch; 0 for YOLOv8's rule.
        """
        super().__init__()
        self.nc, self.reg_max, self.nl = class_count, reg_max, len(channels)
        self.no = 4 * reg_max + class_count
        self.box_bias = box_bias
        self.strides: tuple[float, ...] = ()
        self.register_buffer("stride", torch.zeros(self.nl), persistent=False)
        # YOLOv8's rule: all levels have the widths that follow from the first level's channels.
        box_width = max(16, channels[0] // 4, 4 * reg_max)
        class_width = class_width or max(channels[0], min(class_count, 100))
        class_branch = _depthwise_branch if depthwise else _branch
        self.cv2 = nn.ModuleList(_branch(width, box_width, 4 * reg_max) for width in channels)
        self.cv3 = nn.ModuleList(
            class_branch(width, class_width, class_count) for width in channels
        )
        self.dfl = DFL(reg_max) if reg_max > 1 else Distance()
        self._points: dict[tuple[GridSizes, torch.device], tuple[Tensor, Tensor]] = {}

    @property
    def spec(self) -> HeadSpec:
        """The head's figures that a loss or decoder needs."""
        return HeadSpec(self.family, self.nc, self.strides, reg_max=self.reg_max)

    def requires_grad_(self, requires_grad: bool = True) -> DetectV8:
        """Let all weights be trained or none; the values of the bins never are."""
        super().requires_grad_(requires_grad)
        self.dfl.requires_grad_(False)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DetectV8:
        """Move the head, and forget the cached reference points of the former device."""
        self._points = {}
        return super()._apply(fn, recurse)

    def set_strides(self, strides: Sequence[float], pixels: Levels = ()) -> None:
        """Set the pixels per cell of each level, and the prior of the biases.

        The prior is about 5 objects per 640 px image. The argument `pixels` exists because Detect
        takes anchors there; it must be empty.
        """
        assert not pixels
        self.strides = tuple(strides)
        self.stride = torch.tensor(strides, dtype=torch.float32)
        with torch.no_grad():
            for box, classes, stride in zip(self.cv2, self.cv3, self.strides, strict=True):
                _last_bias(box).fill_(self.box_bias)
                _last_bias(classes).fill_(math.log(5 / self.nc / (640 / stride) ** 2))

    def forward(self, maps: list[Tensor]) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Feature maps [B, C_i, ny, nx] -> raw maps [B, 4 * reg_max + nc, ny, nx], one per level.

        In eval mode it returns (decoded, raw maps), decoded as in decode().
        """
        raw = [
            torch.cat((box(x), kind(x)), dim=1)
            for box, kind, x in zip(self.cv2, self.cv3, maps, strict=True)
        ]
        return raw if self.training else (self.decode(raw), raw)

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """Turn raw maps into boxes with scores.

        Args:
            raw: Per level [B, 4 * reg_max + nc, ny, nx], the bins of a side next to each other, in
                the order left, top, right, bottom.

        Returns:
            [B, N, 4 + nc] float32: centre x, centre y, width, height in pixels, then classes in
            0..1; N runs over level, y, x.
        """
        # One copy in channels-last order, so that softmax and split read contiguous memory.
        rows = torch.cat([level.flatten(2).transpose(1, 2) for level in raw], dim=1)
        bins, classes = rows.split((4 * self.reg_max, self.nc), dim=2)
        before, after = self.dfl(bins.float().unflatten(2, (4, self.reg_max))).chunk(2, dim=2)
        points, scale = self._reference(
            tuple((level.shape[2], level.shape[3]) for level in raw), rows.device
        )
        centre, size = points + (after - before) / 2, before + after
        return torch.cat((centre * scale, size * scale, classes.float().sigmoid()), dim=2)

    def _reference(self, sizes: GridSizes, device: torch.device) -> tuple[Tensor, Tensor]:
        """reference_points() for maps of these sizes, cached for the next image of that size."""
        key, cached = (sizes, device), self._points
        found = cached.get(key)
        if found is None:
            # Tensors made in inference mode could not be used for a later pass outside of it.
            with torch.inference_mode(False):
                found = reference_points(sizes, self.strides, device)
            # Threads may share the head, so a dictionary that others read is never changed.
            kept = cached if len(cached) < MOST_SIZES else {}
            self._points = {**kept, key: found}
        return found


class DetectV10(DetectV8):
    """The one-to-many branches of YOLOv10's head, whose class branch is always depth-wise."""

    def __init__(
        self,
        class_count: int,
        reg_max: int,
        channels: Sequence[int],
        _: bool = True,
        *options: Any,
    ) -> None:
        super().__init__(class_count, reg_max, channels, True, *options)


def reference_points(
    sizes: GridSizes, strides: Sequence[float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Centres of all cells [N, 2] (x, y) in cells, and their strides [N, 1] in pixels per cell.

    Args:
        sizes: (rows, columns) of each level.
        strides: Pixels per cell of each level.
        device: Where to make them.

    Returns:
        Both with N running over level, y, x.
    """
    points, scales = [], []
    for (ny, nx), stride in zip(sizes, strides, strict=True):
        ys, xs = (
            torch.arange(count, dtype=torch.float32, device=device) + 0.5 for count in (ny, nx)
        )
        points.append(
            torch.cat(
                (xs.expand(ny, nx).reshape(-1, 1), ys[:, None].expand(ny, nx).reshape(-1, 1)), dim=1
            )
        )
        scales.append(torch.full((ny * nx, 1), stride, device=device))
    return torch.cat(points), torch.cat(scales)


def _branch(width: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        Conv(width, hidden, 3), Conv(hidden, hidden, 3), nn.Conv2d(hidden, outputs, 1)
    )


def _depthwise_branch(width: int, hidden: int, outputs: int) -> nn.Sequential:
    first = nn.Sequential(DWConv(width, width, 3), Conv(width, hidden))
    second = nn.Sequential(DWConv(hidden, hidden, 3), Conv(hidden, hidden))
    return nn.Sequential(first, second, nn.Conv2d(hidden, outputs, 1))


def _last_bias(branch: nn.Module) -> Tensor:
    assert isinstance(branch, nn.Sequential)
    conv = branch[-1]
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    return conv.bias
