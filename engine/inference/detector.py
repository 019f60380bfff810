"""From a frame to its detections: letterbox, network, non-maximum suppression.

The boxes are in pixels of the frame. As a library:

    for found in predict(load_model("best.pt"), "images/", DetectConfig()):
        ...
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.augment import letterbox
from data.grey import ONE_GREY, grey_image
from data.sources.open import open_source
from engine.detector_model import DetectorModel, device_of, image_channels, synchronised_time
from engine.inference.console import Found
from engine.inference.settings import USUAL_SIZE, DetectConfig
from utils.boxes import to_original
from utils.device import autocast
from utils.errors import UserError
from utils.nms import load_operator, non_max_suppression
from utils.sizes import side_step, whole_side
from utils.structures import Detections, Frame


class Detector:
    """A model with its settings; a call turns a Frame into a Found.

    Attributes:
        stride: The sides of the network's input are multiples of it, pixels.
        shape: (height, width) that a frame is scaled to fit into, pixels.
        channels: Of the network's input.
    """

    def __init__(self, model: DetectorModel, config: DetectConfig) -> None:
        # The import takes seconds, which would be counted as the first image's time.
        load_operator()
        self.model, self.config = model, config
        self.device, self.channels = device_of(model), image_channels(model)
        self.stride = side_step(model.stride)
        sides = config.imgsz or (USUAL_SIZE,)
        self.shape = (whole_side(sides[0], self.stride), whole_side(sides[-1], self.stride))

    @property
    def size_note(self) -> str:
        """What the user must know if the input has another size than asked for, else ""."""
        wanted = self.config.imgsz or self.shape
        if (wanted[0], wanted[-1]) == self.shape:
            return ""
        return (
            f"--imgsz {'x'.join(map(str, wanted))} is not a multiple of the stride {self.stride}:"
            f" taking {self.shape[0]}x{self.shape[1]}"
        )

    def __call__(self, frame: Frame) -> Found:
        if self.model.training:
            raise UserError("the network is in training mode; call its eval() before it predicts")
        started = synchronised_time(self.device)
        x, gain, pad = self._prepare(frame.image)
        prepared = synchronised_time(self.device)
        precision = "fp16" if self.config.half and self.device.type == "cuda" else "fp32"
        with torch.inference_mode(), autocast(self.device, precision):
            decoded = self.model(x, augment=True)[0] if self.config.augment else self.model(x)[0]
        computed = synchronised_time(self.device)
        settings = self.config.nms(self.model.family)
        rows = non_max_suppression(decoded, self.model.family, settings)[0].cpu()
        size = (frame.image.shape[0], frame.image.shape[1])
        boxes = to_original(rows[:, :4], gain, pad, size)
        found = Detections(frame.path, size, boxes, rows[:, 4], rows[:, 5].long(), self.model.names)
        ended = synchronised_time(self.device)
        times = (prepared - started, computed - prepared, ended - computed)
        return Found(frame, found, (x.shape[2], x.shape[3]), times)

    def _prepare(
        self, image: np.ndarray
    ) -> tuple[Tensor, tuple[float, float], tuple[float, float]]:
        """Turn [H, W, 3] uint8 BGR into [1, C, h, w] float 0..1, gain (x, y) and pad (x, y).

        C is 3, RGB, or 1 for a grey model. The border is the narrowest that makes both sides
        multiples of the stride.
        """
        if self.channels == ONE_GREY:
            image = grey_image(image)
        boxed, plan = letterbox(image, self.shape, auto=True, stride=self.stride)
        # torch cannot read an array with negative strides, as reversed channels have.
        pixels = np.ascontiguousarray(boxed[..., ::-1].transpose(2, 0, 1)[: self.channels])
        return torch.from_numpy(pixels).to(self.device)[None].float() / 255, plan.ratio, plan.pad


def predict(
    model: DetectorModel,
    source: str | Path | Iterable[Frame],
    config: DetectConfig | None = None,
) -> Iterator[Detections]:
    """Yield the Detections of each image or frame of a source, in order; write and draw nothing.

    Args:
        model: A network in evaluation mode.
        source: Text as for --source, or Frames.
        config: The flags of detect.py; None takes the defaults.

    Raises:
        UserError: The source is missing.
    """
    config = config or DetectConfig()
    detector = Detector(model, config)
    if not isinstance(source, (str, Path)):
        yield from (detector(frame).detections for frame in source)
        return
    with contextlib.closing(open_source(str(source), config.vid_stride)) as frames:
        yield from (detector(frame).detections for frame in frames)
