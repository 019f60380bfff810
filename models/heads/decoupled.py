"""Decoupled_Detect: the anchor head with a branch for classes and one for boxes and objectness.

Ge et al., "YOLOX", arXiv 2107.08430, section 2.1 and figure 2, for anchors: each level passes a 1x1
convolution, then two branches of two 3x3 convolutions each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.common import Conv
from models.heads.anchor_based import Detect

BRANCH_WIDTH = 256  # channels of both branches


class _Branches(nn.Module):
    """The convolutions of one level."""

    def __init__(self, inputs: int, class_count: int, anchors: int) -> None:
        super().__init__()
        width = BRANCH_WIDTH
        self.merge = Conv(inputs, width)
        self.cls_convs = nn.Sequential(Conv(width, width, 3), Conv(width, width, 3))
        self.reg_convs = nn.Sequential(Conv(width, width, 3), Conv(width, width, 3))
        self.cls_preds = nn.Conv2d(width, class_count * anchors, 1)
        self.reg_preds = nn.Conv2d(width, 4 * anchors, 1)
        self.obj_preds = nn.Conv2d(width, anchors, 1)
        self.anchors = anchors

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, na * (5 + classes), H, W].

        Each anchor has its box, its objectness and its classes one after another.
        """
        x = self.merge(x)
        boxes = self.reg_convs(x)
        parts = (self.reg_preds(boxes), self.obj_preds(boxes), self.cls_preds(self.cls_convs(x)))
        by_anchor = [part.unflatten(1, (self.anchors, -1)) for part in parts]
        return torch.cat(by_anchor, dim=2).flatten(1, 2)


class DecoupledDetect(Detect):
    """Detect with `_Branches` in place of each level's convolution."""

    def __init__(self, class_count: int, anchors: int, channels: Sequence[int]) -> None:
        super().__init__(class_count, anchors, channels)
        self.m = nn.ModuleList(_Branches(width, class_count, anchors) for width in channels)

    def _add_bias_prior(self) -> None:
        """Add the same prior as Detect, to the biases of objectness and of classes."""
        with torch.no_grad():
            for level, stride in zip(self.m, self.strides, strict=True):
                assert isinstance(level, _Branches)
                for conv, prior in (
                    (level.obj_preds, math.log(8 / (640 / stride) ** 2)),
                    (level.cls_preds, math.log(0.6 / (self.nc - 0.99999))),
                ):
                    assert conv.bias is not None
                    conv.bias += prior
