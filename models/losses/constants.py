"""Small tensors of fixed numbers that a loss needs in each step, copied to a device only once.

On a GPU each copy of a Python list makes the host wait until the device has done all its work.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]
KEPT = 256  # multi-scale training has new grids for each size


@lru_cache(maxsize=KEPT)
def constant(numbers: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The numbers as a tensor on the device, which the caller must not change.

    Args:
        numbers: A tuple, or a tuple of tuples of one length.
        dtype: Type of the tensor.
        device: Where the tensor is.

    Returns:
        The tensor, the same one for the same arguments.
    """
    # A tensor made in inference mode could never be part of a training step.
    with torch.inference_mode(False):
        return torch.tensor(numbers, dtype=dtype, device=device)
