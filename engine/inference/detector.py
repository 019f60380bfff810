"""From a frame to its detections: letterbox, network, non-maximum suppression, boxes in the frame's
own pixels.

As a library: `for found in predict(load_model("best.pt"), "images/", DetectConfig()): ...`
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data.augment import letterbox
from data.sources.open import open_source
from engine.inference.console import Found
from engine.inference.settings import USUAL_SIZE, DetectConfig
from utils.boxes import to_original
from utils.device import autocast
from utils.families import Family
from utils.nms import load_operator, non_max_suppression
from utils.structures import Detections, Frame


class Detector:
    """A model with its settings: frame in, Found out.

    model: has names, family and stride, and returns (decoded [1, N, 5 + nc], ...) for [1, 3, H, W] in 0..1;
    [1, N, 4 + nc] if its family has no objectness.
    """

    def __init__(self, model: Any, config: DetectConfig) -> None:
        load_operator()
        self.model, self.config = model, config
        self.family: Family = model.family
        self.device = next((value.device for value in model.parameters()), torch.device("cpu"))
        self.stride = max(32, int(model.stride.max()))
        sides = config.imgsz or (USUAL_SIZE,)
        height, width = (-(-side // self.stride) * self.stride for side in (sides[0], sides[-1]))
        self.shape = (height, width)

    def __call__(self, frame: Frame) -> Found:
        started = self._clock()
        x, gain, pad = self._prepare(frame.image)
        prepared = self._clock()
        precision = "fp16" if self.config.half and self.device.type == "cuda" else "fp32"
        with torch.inference_mode(), autocast(self.device, precision):
            decoded = self.model(x, augment=True)[0] if self.config.augment else self.model(x)[0]
        computed = self._clock()
        settings = self.config.nms(self.family)
        rows = non_max_suppression(decoded, self.family, settings)[0].cpu()
        size = (frame.image.shape[0], frame.image.shape[1])
        boxes = to_original(rows[:, :4], gain, pad, size)
        found = Detections(frame.path, size, boxes, rows[:, 4], rows[:, 5].long(), self.model.names)
        times = (prepared - started, computed - prepared, self._clock() - computed)
        return Found(frame, found, (x.shape[2], x.shape[3]), times)

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _prepare(
        self, image: np.ndarray
    ) -> tuple[Tensor, tuple[float, float], tuple[float, float]]:
        """[H, W, 3] uint8 BGR -> ([1, 3, h, w] float 0..1 RGB, gain (x, y), pad (x, y)); the least
        border that fits.
        """
        boxed, plan = letterbox(image, self.shape, auto=True, stride=self.stride)
        pixels = np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1))
        return torch.from_numpy(pixels).to(self.device)[None].float() / 255, plan.ratio, plan.pad


def predict(
    model: Any, source: str | Path | Iterable[Frame], config: DetectConfig | None = None
) -> Iterator[Detections]:
    """Yield the Detections of each image or frame of source, in order; nothing is drawn or
    written.

    source: as --source, or Frames. Raises UserError for a source that is missing.
    """
    config = config or DetectConfig()
    detector = Detector(model, config)
    if not isinstance(source, (str, Path)):
        yield from (detector(frame).detections for frame in source)
        return
    with contextlib.closing(open_source(str(source), config.vid_stride)) as frames:
        yield from (detector(frame).detections for frame in frames)
