"""Conversion of a batch to the network's input: floats on the device, perhaps resized."""

from __future__ import annotations

import torch
from torch import Tensor

from data.augment import multi_scale_size
from engine.training.colours import adjust_colours
from engine.training.run import Run
from utils.device import layout_of
from utils.seeds import stream
from utils.sizes import side_step, whole_side
from utils.structures import Batch


def to_device(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor]:
    """Images [B, 3, H, W] in 0..1, in the device's layout, and targets [T, 6] in pixels, on it."""
    # The bytes are converted on the device, since floats would be four times as much to copy.
    images = batch.images.to(device, non_blocking=True, memory_format=layout_of(device))
    targets, images = batch.targets.to(device, non_blocking=True), images.float() / 255
    if batch.hsv is not None:
        images = adjust_colours(images, batch.hsv.to(device, non_blocking=True))
    return images, targets


def change_scale(
    images: Tensor, targets: Tensor, run: Run, iteration: int
) -> tuple[Tensor, Tensor]:
    """Resize a batch to a random size that depends on seed and iteration alone.

    Args:
        images: [B, 3, H, W].
        targets: [T, 6] image_index, class, x1, y1, x2, y2 in pixels of the images.
        run: The run, for its seed, image size and stride.
        iteration: Number of the batch, counted from the start of the run.

    Returns:
        The resized images, and the targets in their pixels.
    """
    config = run.setup.config
    generator = stream(config.seed, "multi-scale", iteration)
    height, width = images.shape[-2:]
    stride = side_step(run.state.model.head.strides)  # numbers of the host
    factor = multi_scale_size(generator, config.imgsz, stride) / max(height, width)
    size = [whole_side(int(side * factor), stride) for side in (height, width)]
    # The operation behind interpolate(), which on a GPU would take many small ones in its place for
    # the sake of a deterministic gradient, that images do not need.
    images = torch.ops.aten.upsample_bilinear2d(images, size, False)
    # Factors that are numbers go along with the call; a tensor of them would have to be copied to
    # the device.
    targets = targets.clone()
    targets[:, 2::2] *= size[1] / width
    targets[:, 3::2] *= size[0] / height
    return images, targets
