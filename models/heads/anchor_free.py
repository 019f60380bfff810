"""The anchor-free head: for each cell the distances to the four sides of a box, as distributions,
and its classes.

models/yolo.py feeds it the maps that its YAML row names. A loss takes the raw maps and a HeadSpec;
val.py and detect.py take the decoded rows, which have no objectness, to utils/nms.py. Distances as
distributions: Li et al., "Generalized Focal Loss", NeurIPS 2020, https://arxiv.org/abs/2006.04388.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.common import Conv, DWConv
from models.heads.anchor_based import Levels
from utils.families import V8
from utils.structures import HeadSpec

Sizes = tuple[tuple[int, int], ...]  # (rows, columns) of the cells, a level each
MOST_SIZES = 8  # of images, whose cell centres are kept


class DFL(nn.Module):
    """Distributions over bins become their means.

    The bins' values 0, 1 … are a weight in checkpoints, never learnt.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(bins, 1, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.arange(float(bins)).view(1, bins, 1, 1))
        self.requires_grad_(False)

    def requires_grad_(self, requires_grad: bool = True) -> DFL:
        """Stay as it is, whatever is frozen or thawed around it."""
        return super().requires_grad_(False)

    def forward(self, logits: Tensor) -> Tensor:
        """[..., bins] -> [...], in cells."""
        return F.linear(
            logits.softmax(-1), self.conv.weight.detach().flatten(1).to(logits.dtype)
        ).squeeze(-1)


class DetectV8(nn.Module):
    """Two branches a level: three convolutions to 4 * reg_max bins of distances, three to the
    classes.

    class_count: classes. reg_max: bins a side. channels: of the incoming maps. depthwise: build the
    class branch of depth-wise and 1x1 convolutions (YOLO11) instead of 3x3 ones (YOLOv8). box_bias:
    first bias of the bins. class_width: channels within the class branch, 0 for YOLOv8's rule.
    """

    family = V8
    stride: Tensor

    def __init__(
        self, class_count: int, reg_max: int, channels: Sequence[int], depthwise: bool = False, box_bias: float = 2.0,
        class_width: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        self.nc, self.reg_max, self.nl = class_count, reg_max, len(channels)
        self.no = 4 * reg_max + class_count
        self.box_bias = box_bias
        self.strides: tuple[float, ...] = ()
        self.register_buffer("stride", torch.zeros(self.nl), persistent=False)
        box_width = max(16, channels[0] // 4, 4 * reg_max)
        class_width = class_width or max(channels[0], min(class_count, 100))
        class_branch = _depthwise_branch if depthwise else _branch
        self.cv2 = nn.ModuleList(_branch(width, box_width, 4 * reg_max) for width in channels)
        self.cv3 = nn.ModuleList(
            class_branch(width, class_width, class_count) for width in channels
        )
        self.dfl = DFL(reg_max)
        self._points: dict[Any, tuple[Tensor, Tensor]] = {}  # by sizes and device

    @property
    def spec(self) -> HeadSpec:
        """What a loss or decoder needs."""
        return HeadSpec(self.family, self.nc, self.strides, reg_max=self.reg_max)

    def requires_grad_(self, requires_grad: bool = True) -> DetectV8:
        """Let all weights learn or none, but the values of the bins, which never do."""
        super().requires_grad_(requires_grad)
        self.dfl.requires_grad_(False)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        """What is kept for decoding stays on no device that the head has left."""
        self._points.clear()
        return super()._apply(fn, recurse)

    def set_strides(self, strides: Sequence[float], pixels: Levels = ()) -> None:
        """Take the pixels per cell of each level; biases get their prior: about 5 objects a 640 px
        image.

        pixels: of anchors, of which there must be none.
        """
        assert not pixels
        self.strides = tuple(strides)
        self.stride = torch.tensor(strides, dtype=torch.float32)
        with torch.no_grad():
            for box, classes, stride in zip(self.cv2, self.cv3, self.strides, strict=True):
                _last_bias(box).fill_(self.box_bias)
                _last_bias(classes).fill_(math.log(5 / self.nc / (640 / stride) ** 2))

    def forward(self, maps: list[Tensor]) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """[B, C_i, ny, nx] per level -> raw maps [B, 4 * reg_max + nc, ny, nx]; in eval mode
        (decoded, raw maps).

        decoded is as in decode().
        """
        raw = [
            torch.cat((box(x), kind(x)), dim=1)
            for box, kind, x in zip(self.cv2, self.cv3, maps, strict=True)
        ]
        return raw if self.training else (self.decode(raw), raw)

    def decode(self, raw: Sequence[Tensor]) -> Tensor:
        """Raw maps -> rows of centre x, centre y, width, height in pixels, then classes in 0..1.

        raw: [B, 4 * reg_max + nc, ny, nx] a level, bins of a side side by side, sides left, top,
        right, bottom. Returns [B, N, 4 + nc] float32, N running over level, y, x.
        """
        rows = torch.cat(
            [level.flatten(2).transpose(1, 2) for level in raw], dim=1
        )  # one copy, in channels-last order
        bins, classes = rows.split((4 * self.reg_max, self.nc), dim=2)
        before, after = self.dfl(bins.float().unflatten(2, (4, self.reg_max))).chunk(2, dim=2)
        points, scale = self._reference(
            tuple((level.shape[2], level.shape[3]) for level in raw), rows.device
        )
        centre, size = points + (after - before) / 2, before + after
        return torch.cat((centre * scale, size * scale, classes.float().sigmoid()), dim=2)

    def _reference(self, sizes: Sizes, device: torch.device) -> tuple[Tensor, Tensor]:
        """reference_points() of a image's size, kept for the next one like it."""
        key = (sizes, device)
        if key not in self._points:
            if len(self._points) >= MOST_SIZES:
                self._points.clear()
            with torch.inference_mode(False):  # what is kept must serve outside of it too
                self._points[key] = reference_points(sizes, self.strides, device)
        return self._points[key]


def reference_points(
    sizes: Sizes, strides: Sequence[float], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Cell centres [N, 2] (x, y) in cells, strides [N, 1] in pixels per cell; N runs over level, y,
    x.
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
