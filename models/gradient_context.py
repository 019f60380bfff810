"""The type of the context that PyTorch passes to an autograd function, as far as we use it."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class GradientContext(Protocol):
    """The values that a forward pass keeps for the backward pass.

    An autograd function that keeps more than tensors adds its own attributes in a subclass.
    """

    saved_tensors: tuple[Tensor, ...]
    needs_input_grad: tuple[bool, ...]

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors; PyTorch checks that nothing changes them before the backward pass."""
