"""The interface of a detector, which models.yolo.DetectionModel and Ensemble both satisfy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from data.grey import check_channels
from models.heads import HEADS
from utils.device import choose_dtype, choose_half, finish_queue
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


def fixed_size(model: object) -> tuple[int, int] | None:
    """(height, width) in pixels if a detector takes no other size, as some exported files do."""
    size: tuple[int, int] | None = getattr(model, "fixed_size", None)
    return size


def in_half(model: DetectorModel, device: torch.device) -> str:
    """Convert the weights of a detector to half precision, in place, where that is faster.

    It must run under utils.device.autocast() with the returned precision, which then casts no
    weights, but still widens what would overflow. The constants of the head stay in float32, in
    which boxes are decoded.

    Args:
        model: The network, or an ensemble of several.
        device: Where it runs.

    Returns:
        The precision of utils.device.choose_half(); if it is "fp32", nothing was converted.
    """
    precision = choose_half(device)
    if precision != "fp32":
        network = cast(nn.Module, model)
        heads = [part for part in network.modules() if isinstance(part, HEADS)]
        constants = [dict(head.named_buffers(recurse=False)) for head in heads]
        network.to(choose_dtype(device, precision))
        for head, buffers in zip(heads, constants, strict=True):
            for name, value in buffers.items():
                setattr(head, name, value)
    return precision


def synchronised_time(device: torch.device) -> float:
    """The time in seconds, read once the device has finished all work queued so far."""
    # Without this wait, the time of one stage would be counted in a later one.
    finish_queue(device)
    return time.perf_counter()


@contextmanager
def evaluation_mode(model: DetectorModel) -> Iterator[None]:
    """Set the model to evaluation mode inside the block, and restore its mode afterwards."""
    before = model.training
    model.train(False)
    try:
        yield
    finally:
        model.train(before)
