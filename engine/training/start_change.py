"""How much new attention changes, at the start, what the head of a pretrained network gets.

Rows behind the attention were trained with the features that it changes, so they have to be learnt
again in part. docs/evidence.md compares this figure with what a fine-tuning lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from data.dataset import DatasetSettings
from data.index import DatasetIndex
from data.loader import spread_batch
from models.attention import ATTENTION, attention_of
from models.graph.read import read_graph
from models.yolo import DetectionModel
from utils.checkpoint import Checkpoint
from utils.errors import UserError
from utils.sizes import whole_side

IMAGES = 4  # that the figure is measured on


def start_line(model: DetectionModel, source: Checkpoint, data: DatasetIndex, imgsz: int) -> str:
    """A sentence on new attention in a network with pretrained weights.

    Args:
        model: the network with its weights.
        source: what they were read from.
        data: the training split.
        imgsz: side of the images, pixels.

    Returns:
        The sentence; "" without attention, with weights that were trained with attention, and
        where it cannot be measured.
    """
    trained = any(row.module in ATTENTION or row.inside for row in read_graph(source.graph).rows)
    if trained or not attention_of(model):
        return ""
    try:
        images = some_images(data, whole_side(imgsz, int(max(model.head.strides))), model.channels)
        change = head_change(model, images)
    except UserError:  # An image cannot be read, which the training treats in its own way.
        return ""
    if change is None:
        return ""
    if change == 0:
        return "Attention leaves what the head gets unchanged at the start"
    return (
        f"Attention changes what the head gets by {100 * change:.0f} % at the start; with"
        " --attention-init identity it would be 0 %"
    )


def some_images(data: DatasetIndex, imgsz: int, channels: int, count: int = IMAGES) -> Tensor:
    """Images [n, channels, imgsz, imgsz] in 0..1, evenly spread over a split, not augmented.

    Args:
        data: the split.
        imgsz: side of the images, pixels; a multiple of the network's stride.
        channels: 3 for colour, 1 for grey.
        count: how many, if the split has as many.

    Raises:
        UserError: an image cannot be read.
    """
    settings = DatasetSettings(imgsz, batch_size=count, channels=channels)
    return spread_batch(data, settings).images.float() / 255


def head_change(model: DetectionModel, images: Tensor) -> float | None:
    """How far the maps that the head gets are from those without the attention.

    The Euclidean norm of the difference divided by that of the maps without it, averaged over the
    levels: 0 without any change, 1 where nothing is left, more where something else is added.

    Args:
        model: on the device of the images, in float32; it is left as it was.
        images: [n, channels, height, width] in 0..1.

    Returns:
        The change; None if a module cannot be left out, since it has other inputs or channels.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            changed = head_inputs(model, images)
            with left_out(attention_of(model).values()) as can_be:
                plain = head_inputs(model, images)
    finally:
        model.train(was_training)
    if not all(can_be):
        return None
    return float(np.mean([distance(*pair) for pair in zip(changed, plain, strict=True)]))


def distance(changed: Tensor, plain: Tensor) -> float:
    """The norm of their difference divided by that of the plain one."""
    return float((changed - plain).norm() / plain.norm().clamp_min(1e-12))


def head_inputs(model: DetectionModel, images: Tensor) -> list[Tensor]:
    """The maps that the head gets, one for each level."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, inputs: tuple[list[Tensor]]) -> None:
        seen.extend(value.clone() for value in inputs[0])

    handle = model.head.register_forward_pre_hook(keep)
    try:
        model(images)
    finally:
        handle.remove()
    return seen


@contextmanager
def left_out(modules: Iterable[nn.Module]) -> Iterator[list[bool]]:
    """Within the block, modules return their input. The list says for each call if they can."""
    can_be: list[bool] = []

    def pass_on(_: nn.Module, inputs: tuple[object, ...], out: object) -> object:
        fits = isinstance(out, Tensor) and [
            value.shape if isinstance(value, Tensor) else None for value in inputs
        ] == [out.shape]
        can_be.append(fits)
        return cast(Tensor, inputs[0]) if fits else out

    with ExitStack() as stack:
        for module in modules:
            stack.callback(module.register_forward_hook(pass_on).remove)
        yield can_be
