"""From frames to their detections: letterbox, network, non-maximum suppression.

The boxes are in pixels of the frames.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engine.detector_model import (
    DetectorModel,
    device_of,
    fixed_size,
    image_channels,
    synchronised_time,
)
from engine.inference.console import Found
from engine.inference.prepared import InputFormat, Prepared, prepare
from engine.inference.settings import USUAL_SIZE, DetectConfig
from utils.boxes import to_original
from utils.device import autocast, choose_half, layout_of
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
        is_timed: Whether to wait for the device between network and non-maximum suppression, so
            that the time of each is known.
    """

    is_timed = True

    def __init__(self, model: DetectorModel, config: DetectConfig) -> None:
        load_operator()
        self.model, self.config = model, config
        self.device, self.channels = device_of(model), image_channels(model)
        # The weights may be in half precision already; autocast() converts those that are not.
        self.precision = choose_half(self.device) if config.half else "fp32"
        self.stride = side_step(model.stride)
        sides = config.imgsz or (USUAL_SIZE,)
        fixed = fixed_size(model)
        self.shape = fixed or (
            whole_side(sides[0], self.stride),
            whole_side(sides[-1], self.stride),
        )
        self.format = InputFormat(self.shape, self.stride, self.channels, fixed is not None)

    @property
    def size_note(self) -> str:
        """What the user must know if the input has another size than asked for, else ""."""
        wanted = self.config.imgsz or self.shape
        if (wanted[0], wanted[-1]) == self.shape:
            return ""
        if self.format.is_fixed:
            return f"the file takes images of {self.shape[0]}x{self.shape[1]} only: taking that"
        return (
            f"--imgsz {'x'.join(map(str, wanted))} is not a multiple of the stride {self.stride}:"
            f" taking {self.shape[0]}x{self.shape[1]}"
        )

    def prepare(self, frame: Frame) -> Prepared:
        """Scale a frame for find(); safe in any thread."""
        return prepare(frame, self.format)

    def __call__(self, frame: Frame) -> Found:
        return self.find([self.prepare(frame)])[0]

    def find(self, group: Sequence[Prepared]) -> list[Found]:
        """Find the objects of frames that have one size of input, as one batch.

        The times of a Found are those of the batch, divided by its frames. Raises UserError if the
        model is in training mode.
        """
        if self.model.training:
            raise UserError("the network is in training mode; call its eval() before it predicts")
        started = time.perf_counter()
        x = self._upload(group)
        prepared = time.perf_counter()
        with torch.inference_mode(), autocast(self.device, self.precision):
            decoded = self.model(x, augment=True)[0] if self.config.augment else self.model(x)[0]
        computed = synchronised_time(self.device) if self.is_timed else time.perf_counter()
        settings = self.config.nms(self.model.family)
        rows = on_host(non_max_suppression(decoded, self.model.family, settings))
        found = [self._in_pixels(one, kept) for one, kept in zip(group, rows, strict=True)]
        steps = (prepared - started, computed - prepared, time.perf_counter() - computed)
        return [
            Found(one.frame, result, one.size, self._times(one, steps, len(group)))
            for one, result in zip(group, found, strict=True)
        ]

    def _upload(self, group: Sequence[Prepared]) -> Tensor:
        """[B, C, h, w] float 0..1 on the device, in its layout."""
        pixels = [one.pixels for one in group]
        batch = torch.from_numpy(pixels[0][None] if len(pixels) == 1 else np.stack(pixels))
        if self.device.type == "cuda":
            batch = batch.pin_memory()  # so that the copy does not make the host wait
        x = batch.to(self.device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
        return x.contiguous(memory_format=layout_of(self.device))

    def _in_pixels(self, one: Prepared, rows: Tensor) -> Detections:
        """The detections of a frame from rows [n, 6] in pixels of its input."""
        frame = one.frame
        size = (frame.image.shape[0], frame.image.shape[1])
        boxes = to_original(rows[:, :4], one.gain, one.pad, size)
        return Detections(frame.path, size, boxes, rows[:, 4], rows[:, 5].long(), self.model.names)

    def _times(
        self, one: Prepared, steps: tuple[float, float, float], frames: int
    ) -> tuple[float, float, float]:
        """Seconds of each stage for one frame of several that were computed together."""
        before, network, after = (step / frames for step in steps)
        return one.seconds + before, network, after


def on_host(found: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors [n, 6] of a device to the host, all at once."""
    return list(torch.cat(list(found)).cpu().split([len(rows) for rows in found]))
