"""The network of an exported file: a fused detector, on request with non-maximum suppression."""

from __future__ import annotations

import copy
from types import MethodType

import torch
from torch import Tensor, nn

from models.heads.anchor_free import DetectV8, reference_points
from models.yolo import DetectionModel
from utils.boxes import xywh_to_xyxy
from utils.nms import CLASS_OFFSET_PX, NMSSettings


class ExportedModel(nn.Module):
    """A detector with the outputs of the exported file.

    suppression holds the settings of non-maximum suppression, or None to leave it out.
    """

    def __init__(self, source: DetectionModel, suppression: NMSSettings | None = None) -> None:
        """Copy and fuse the source, which is not changed."""
        super().__init__()
        self.family, self.suppression = source.family, suppression
        self.detector = (
            copy.deepcopy(source).float().eval().fuse().to(memory_format=torch.contiguous_format)
        )
        head = self.detector.head
        if isinstance(head, DetectV8):
            # The head caches its reference points by size. A tracer would write cached points into
            # the file as constants, so this copy computes them at each call.
            head.__dict__["_reference"] = MethodType(_new_reference_points, head)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, 3, H, W] in 0..1 to output0, whose shape export.py describes."""
        decoded: Tensor = self.detector(images)[0]
        if self.suppression is not None:
            settings = self.suppression
            return torch.stack([self.suppress(rows, settings) for rows in decoded.unbind()])
        return decoded if self.family.has_objectness else decoded.transpose(1, 2)

    def suppress(self, rows: Tensor, settings: NMSSettings) -> Tensor:
        """Suppress the boxes of one image, each in its best class only.

        The detections are those of utils.nms, but in an output of fixed shape, which file formats
        need.

        Args:
            rows: [N, 5 + nc] decoded boxes, or [N, 4 + nc] in a family without objectness.
            settings: Thresholds and the number of detections.

        Returns:
            [max_det, 6] corners in pixels, score, class; zeros after the last detection.
        """
        from torchvision.ops import nms

        scores = rows[:, self.family.box_columns :]
        if self.family.has_objectness:
            scores = scores * rows[:, 4:5]
        scores, classes = scores.max(1)
        scores = torch.where(scores > settings.conf, scores, 0)
        corners = xywh_to_xyxy(rows[:, :4])
        # Boxes of different classes are moved far apart, so that one call of nms() suppresses
        # within each class.
        shift = 0 if settings.agnostic else classes[:, None] * CLASS_OFFSET_PX
        kept = nms(corners + shift, scores, settings.iou)
        found = torch.cat((corners, scores[:, None], classes[:, None].to(corners.dtype)), 1)[kept]
        # nms() keeps the boxes whose score was set to 0, so they become rows of zeros here.
        found = torch.where(found[:, 4:5] > 0, found, 0)
        return torch.cat((found, found.new_zeros(settings.max_det, 6)))[: settings.max_det]


def _new_reference_points(
    head: DetectV8, sizes: tuple[tuple[int, int], ...], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Compute the points of DetectV8._reference anew at each call, without its cache."""
    return reference_points(sizes, head.strides, device)
