"""A batch that does not fit into the memory is run in parts."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from utils.errors import lacks_memory

Found = tuple[Tensor, list[Tensor] | None]  # what a DetectorModel returns


class Parts:
    """Runs a network on batches, in parts of them once the memory was too small for a whole one.

    Attributes:
        most: Images of a part; 0 as long as every batch fitted.
        whole: Images of the batch that did not fit.
    """

    def __init__(self) -> None:
        self.most, self.whole = 0, 0

    def run(self, model: Callable[[Tensor], Found], images: Tensor) -> Found:
        """Call the network, and again with half as many images as long as the memory is too small.

        Args:
            model: A DetectorModel in evaluation mode, which computes each image for itself.
            images: [B, C, H, W] in 0..1.

        Returns:
            What it returns for the whole batch: the decoded rows, and the maps of its levels or
            None.

        Raises:
            RuntimeError: Torch's own error, if a single image does not fit.
        """
        size = min(self.most or len(images), len(images))
        while True:
            try:
                return _joined([model(part) for part in images.split(size)])
            except (MemoryError, RuntimeError) as error:
                if size == 1 or not lacks_memory(error):
                    raise
            # Outside the handler, which keeps the tensors of the failed call alive.
            self.whole = max(self.whole, len(images))
            self.most = size = (size + 1) // 2

    @property
    def notes(self) -> list[str]:
        """What a reader of the results must know."""
        if not self.most:
            return []
        return [
            f"the memory was too small to validate {self.whole} images at once, so they were run"
            f" {self.most} at a time, which is slower; the scores are the same up to rounding"
        ]


def _joined(parts: list[Found]) -> Found:
    if len(parts) == 1:
        return parts[0]
    maps = [levels for _, levels in parts if levels is not None]
    levels = [torch.cat(level) for level in zip(*maps, strict=True)] if maps else None
    return torch.cat([decoded for decoded, _ in parts]), levels
