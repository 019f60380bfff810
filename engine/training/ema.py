"""The exponential moving average of a model, which is validated and saved as best.pt."""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import nn


class ModelEMA:
    """The averages of all floating-point entries of the state dict, with batch-norm statistics.

    `averages` lists them, and they are part of `module`. Integer buffers keep the values they had
    when the model was copied, as in YOLOv5.
    """

    def __init__(
        self, model: nn.Module, decay: float = 0.9999, tau: float = 2000.0, updates: int = 0
    ) -> None:
        """Copy the model.

        Args:
            model: The model to average, which is not changed.
            decay: Decay of the averages in the long run.
            tau: Updates after which decay() has reached 63 % of it.
            updates: Number of updates before.
        """
        self.module = deepcopy(model).eval()
        self.updates = updates
        self._decay, self._tau = decay, tau
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        self.averages = _floating(self.module)
        # The entries of the model that was averaged last; to list them takes as long as an update.
        self._model, self._values = model, _floating(model)

    def decay(self, updates: int) -> float:
        """The decay after some updates; it rises from 0, so that early averages forget fast."""
        return self._decay * (1 - math.exp(-updates / self._tau))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the averages towards the model's current values.

        A model's tensors are listed once, so that training must change them in place.
        """
        self.updates += 1
        if model is not self._model:
            self._model, self._values = model, _floating(model)
        # One call for all tensors: a loop over hundreds of small ones would cost more than a step.
        weight = 1 - self.decay(self.updates)
        torch._foreach_lerp_(self.averages, self._values, weight)

    def start_share(self, updates: int) -> float:
        """The share of the weights at the start that is left in the averages after some updates."""
        return math.prod(self.decay(number) for number in range(1, updates + 1))

    def load(self, state: dict[str, torch.Tensor], updates: int) -> None:
        """Restore the averages and the number of updates of a checkpoint."""
        self.module.load_state_dict(state)
        self.updates = updates


def _floating(model: nn.Module) -> list[torch.Tensor]:
    """The floating-point entries of the state dict, in its order; they share memory with it."""
    return [value.detach() for value in model.state_dict().values() if value.is_floating_point()]
