"""The exponential moving average of a model, which is validated and saved as best.pt."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import nn


class ModelEMA:
    """The averages of every floating entry of the state dict, batch-norm statistics included.

    Integer buffers keep the value that they had at the copy, as in YOLOv5.
    """

    def __init__(
        self, model: nn.Module, decay: float = 0.9999, tau: float = 2000.0, updates: int = 0
    ) -> None:
        """Copy the model.

        Args:
            model: Which is left as it is.
            decay: Of the averages in the long run.
            tau: Updates after which decay() has reached 63 % of it.
            updates: How many there were before.
        """
        self.module = deepcopy(model).eval()
        self.updates = updates
        self._decay, self._tau = decay, tau
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        self._averages = _floating(self.module)

    def decay(self, updates: int) -> float:
        """The decay after some updates; it rises from 0, so that early averages forget fast."""
        return self._decay * (1 - math.exp(-updates / self._tau))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the averages towards the model's present values."""
        self.updates += 1
        # One call for all tensors: a loop over hundreds of small ones would cost more than a step.
        weight = 1 - self.decay(self.updates)
        torch._foreach_lerp_(self._averages, _floating(model), weight)

    def load(self, state: dict[str, torch.Tensor], updates: int) -> None:
        """Put back what a checkpoint holds."""
        self.module.load_state_dict(state)
        self.updates = updates


def _floating(model: nn.Module) -> list[torch.Tensor]:
    """The floating entries of the state dict, in its order: views of the model's own tensors."""
    return [value.detach() for value in model.state_dict().values() if value.is_floating_point()]
