"""The interface of a detector, which models.yolo.DetectionModel and Ensemble both satisfy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from data.grey import check_channels
from utils.device import finish_queue
from utils.families import Family


class DetectorModel(Protocol):
    """A network that finds objects in images.

    In evaluation mode a call with images [B, 3, H, W] in 0..1 returns the decoded boxes
    [B, N, 5 + nc] (without objectness [B, N, 4 + nc]) and the raw maps of all levels. With
    augment=True it searches three sizes of the image and returns None instead of the maps.

    Attributes:
        names: Class number -> name.
        training: Whether the model is in training mode.
        family: The family of the graph, which says whether decoded rows have an objectness.
        stride: [levels] pixels per cell.
        channels: Of the images, 3 for colour and 1 for grey.
    """

    names: dict[int, str]
    training: bool

    @property
    def family(self) -> Family: ...

    @property
    def stride(self) -> Tensor: ...

    @property
    def channels(self) -> int: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def train(self, mode: bool = True) -> object: ...

    def __call__(
        self, images: Tensor, /, *, augment: bool = False
    ) -> tuple[Tensor, list[Tensor] | None]: ...


def device_of(model: DetectorModel) -> torch.device:
    """The device of the model's weights; the CPU if it has none."""
    return next((value.device for value in model.parameters()), torch.device("cpu"))


def image_channels(model: DetectorModel) -> int:
    """Channels of the images for a model. Raises UserError unless images can have that many."""
    return check_channels(model.channels, "the model's number of input channels (ch)")


def synchronised_time(device: torch.device) -> float:
    """The time in seconds, read once the device has finished all work queued so far."""
    # Without this wait, the time of one stage would be counted in a later one.
    finish_queue(device)
    return time.perf_counter()
