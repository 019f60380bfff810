"""An opened file of any kind: what it takes, what it says, and a function that runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from data.grey import check_channels
from engine.exported.facts import MOST_BATCH
from utils.errors import UserError
from utils.sizes import LONGEST_SIDE

Shape = tuple[int | None, ...]  # None where any number is accepted


@dataclass(frozen=True)
class Runtime:
    """A file that a library has opened.

    Attributes:
        where: Its path, for errors.
        metadata: What it says about itself; facts.py reads it.
        shape: [B, C, H, W] of its input.
        dtype: Of its input.
        run: Computes its first output from images of that shape and dtype.
        module: The network where it is one of PyTorch, so that its device is known.
    """

    where: str
    metadata: Mapping[str, object]
    shape: Shape
    dtype: torch.dtype
    run: Callable[[Tensor], Tensor]
    module: nn.Module | None = None

    def __post_init__(self) -> None:
        names = ("batch", "channels", "height", "width")
        most = (MOST_BATCH, 4, LONGEST_SIDE, LONGEST_SIDE)
        if len(self.shape) != 4:
            raise UserError(f"{self.where}: its input is not [B, C, H, W]; give a detector's file")
        for name, side, limit in zip(names, self.shape, most, strict=True):
            if side is not None and not 1 <= side <= limit:
                raise UserError(
                    f"{self.where}: its input has {name} {side}, where 1 to {limit} is needed"
                )
        if self.shape[1] is not None:
            check_channels(self.shape[1], f"{self.where}: the channels of its input")


def as_shape(sides: Sequence[object]) -> Shape:
    """The shape of an input as ONNX gives it: numbers, and names or None where any is accepted."""
    return tuple(side if isinstance(side, int) and side > 0 else None for side in sides)
