"""--batch-size -1: the batch that fills most of a GPU's free memory, by measured passes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import nn

from utils.device import GPUS, autocast
from utils.errors import UserError, lacks_memory

USUAL_BATCH = 16
MEASURED_SIZES = (1, 2, 4, 8, 16)
LARGEST_BATCH = 1024
MEMORY_SHARE = 0.8  # of the free memory of a GPU


class BatchChoice(NamedTuple):
    """A batch size, and the sentence that says why it was chosen."""

    size: int
    reason: str


def fit_batch_size(
    model: nn.Module, imgsz: int, device: torch.device, precision: str = "auto"
) -> BatchChoice:
    """The batch size that fills MEMORY_SHARE of the free memory of a GPU; 16 without one.

    As in YOLOv5's autobatch, the peak memory of a forward and backward pass is measured at batch
    sizes 1 to 16, as far as they fit, and extrapolated linearly.

    Args:
        model: The network; a copy of it is measured.
        imgsz: Side of the images, pixels.
        device: Where training runs.
        precision: --precision of the forward pass.

    Raises:
        UserError: The memory is too small for a single image.
    """
    if device.type not in GPUS:
        why = f"{device.type} does not say how much memory a batch takes"
        return BatchChoice(USUAL_BATCH, f"--batch-size -1: taking {USUAL_BATCH}, since {why}")
    memory = torch.get_device_module(device)
    # What other programs and earlier work of this one have left.
    free = memory.mem_get_info(device)[0] + memory.memory_reserved(device)
    peaks = measure_peaks(model, imgsz, device, precision)
    if not peaks:
        raise UserError(
            f"--batch-size -1: not one image of {imgsz} pixels fits into the {gib(free)} that are"
            f" free on {device}; end other programs there, or use a smaller --imgsz or model"
        )
    size = largest_batch(peaks, free * MEMORY_SHARE)
    measured = ", ".join(f"{count} in {gib(peak)}" for count, peak in peaks.items())
    need = line_through(peaks)(size)
    share = f"{need / free:.0%} of the {gib(free)} that are free on {device}"
    tight = ", more than that, but the least there is" if need > free * MEMORY_SHARE else ""
    return BatchChoice(
        size,
        f"--batch-size -1: taking {size} for about {gib(need)}, {share} (at most"
        f" {MEMORY_SHARE:.0%} are wanted{tight}); measured images of {imgsz} pixels: {measured}",
    )


def gib(count: float) -> str:
    """A number of bytes as text in GiB."""
    return f"{count / 2**30:.2f} GiB"


def measure_peaks(
    model: nn.Module, imgsz: int, device: torch.device, precision: str
) -> dict[int, int]:
    """Peak bytes of a pass forward and backward by batch size, for all sizes that fit.

    Args:
        model: The network; a copy of it is measured.
        imgsz: Side of the images, pixels.
        device: The GPU.
        precision: --precision of the forward pass.
    """
    memory, peaks = torch.get_device_module(device), dict[int, int]()
    try:
        probe = copy.deepcopy(model).train()
        for size in MEASURED_SIZES:
            memory.reset_peak_memory_stats(device)
            _pass(probe, (size, getattr(model, "channels", 3), imgsz, imgsz), device, precision)
            peaks[size] = memory.max_memory_allocated(device)
            probe.zero_grad(set_to_none=True)
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    memory.empty_cache()  # otherwise blocks of the measured sizes would stay reserved
    return peaks


def _pass(probe: nn.Module, shape: tuple[int, ...], device: torch.device, precision: str) -> None:
    with autocast(device, precision):
        raw = probe(torch.zeros(shape, device=device))
    # The memory of a loss is small beside that of the maps, so any scalar of them will do.
    torch.stack([level.float().mean() for level in raw]).sum().backward()


def line_through(peaks: Mapping[int, int]) -> Callable[[int], float]:
    """Batch size -> bytes, by the line through the smallest and the largest measured size."""
    first, last = min(peaks), max(peaks)
    # At least a byte per image, in case a larger batch was measured as needing no more.
    slope = max((peaks[last] - peaks[first]) / max(last - first, 1), 1.0)
    return lambda size: peaks[first] + (size - first) * slope


def largest_batch(peaks: Mapping[int, int], budget: float) -> int:
    """The largest batch size within the budget in bytes, at least 1.

    Batch sizes beyond the measured ones follow the line only if all of MEASURED_SIZES fitted.
    """
    bytes_of = line_through(peaks)
    last = LARGEST_BATCH if max(peaks) == MEASURED_SIZES[-1] else 2 * max(peaks) - 1
    fitting = [size for size in range(1, last + 1) if bytes_of(size) <= budget]
    return max(fitting, default=1)
