"""The torch.hub models: networks that accept images of any size and kind, as YOLOv5's do."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import nn

from api.fused import Network
from api.hub_results import HubResults
from api.results import Results
from data.sources.memory import open_any
from engine.inference.console import Found
from engine.inference.detector import Detector
from engine.inference.pipeline import found_in
from engine.inference.settings import USUAL_SIZE, DetectConfig
from utils.cli import build
from utils.errors import UserError
from utils.families import Family
from utils.nms import NMSSettings
from utils.output import print_anywhere

if TYPE_CHECKING:
    from data.sources.open import Source


class MultiLabelConfig(DetectConfig):
    """The settings of detect.py, except that a box may have several classes."""

    def nms(self, family: Family) -> NMSSettings:
        return dataclasses.replace(super().nms(family), multi_label=True)


class AutoShape(nn.Module):
    """A detector that accepts images of any size and kind.

    All attributes may be set at any time; the next call uses them.

    Attributes:
        conf: lowest confidence of a detection, 0..1.
        iou: IoU threshold of NMS, 0..1.
        max_det: maximum number of detections per image.
        classes: class numbers to report; None for all.
        multi_label: whether a box may have several classes.
        agnostic: whether boxes of different classes suppress each other.
        amp: whether to compute in half precision (CUDA).
        names: class number -> name, or a list of names.
    """

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model, self.names, self.stride = model.eval(), model.names, model.stride
        # 1000 detections, as in YOLOv5's hub models; detect.py reports 300.
        self.conf, self.iou, self.max_det = 0.25, model.family.detection_iou, 1000
        self.classes: Sequence[int] | None = None
        self.multi_label = self.agnostic = self.amp = False
        self._said: set[str] = set()

    def train(self, mode: bool = True) -> AutoShape:
        """Stay in evaluation mode, the only one in which a detector predicts.

        To train the network itself, load it with autoshape=False.
        """
        return super().train(False)

    def forward(
        self, ims: object, size: int | tuple[int, int] = USUAL_SIZE, augment: bool = False
    ) -> HubResults:
        """Find objects.

        Args:
            ims: a path, URL, Pillow image, RGB array [H, W, 3], float tensor [B, 3, H, W], or a
                list of such.
            size: longer side of the network's input in pixels, or (height, width).
            augment: whether to use test-time augmentation.

        Raises:
            UserError: an attribute or the size has an impossible value, or no image could be read.
        """
        # Built for each call, since the attributes may have been set since the last one.
        config = self._settings(size, augment)
        source, detector = open_any(ims, rgb=True), Detector(self.model, config)
        self._say_once(detector.size_note)
        try:
            with contextlib.closing(found_in(source, detector)) as one_by_one:
                found = list(one_by_one)
        finally:
            source.close()
        if not found:
            raise UserError(_reason(source))
        results = [Results(with_names(one, self.names)) for one in found]
        return HubResults(results, detector.shape, detector.channels)

    def _say_once(self, note: str) -> None:
        """Print a note on the size of the input, unless it was printed before."""
        if note and note not in self._said:
            self._said.add(note)
            print_anywhere(note.replace("--imgsz", "size"))

    def _settings(self, size: int | tuple[int, int], augment: bool) -> DetectConfig:
        """The settings of detect.py that correspond to the attributes."""
        return build(
            MultiLabelConfig if self.multi_label else DetectConfig,
            {
                "imgsz": tuple(size) if isinstance(size, (list, tuple)) else (size,),
                "conf_thres": self.conf,
                "iou_thres": self.iou,
                "max_det": self.max_det,
                "half": self.amp,
                "augment": augment,
                "agnostic_nms": self.agnostic,
                "classes": tuple(self.classes or ()),
            },
        )


def with_names(found: Found, names: Mapping[int, str] | Sequence[str]) -> Found:
    """What was found, with the class names that a caller has set: by number, or a list."""
    by_number = dict(names) if isinstance(names, Mapping) else dict(enumerate(names))
    kept = dataclasses.replace(found.detections, names=by_number)
    return dataclasses.replace(found, detections=kept)


def _reason(source: Source) -> str:
    """The reason why a source yielded no frame."""
    path, reason = source.skipped[0] if source.skipped else ("the source", "it gave no frame")
    return f"{path}: nothing could be read; {reason}"
