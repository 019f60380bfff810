"""An exponential moving average of a model: what is validated, saved as best.pt and used
afterwards.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import nn


class ModelEMA:
    """Averages every floating entry of the state dict, batch-norm statistics included.

    decay(u) = decay * (1 - exp(-u / tau)) with u the number of updates, so that early averages
    forget fast. Integer buffers keep the value they had at the copy, as in YOLOv5.
    """

    def __init__(
        self, model: nn.Module, decay: float = 0.9999, tau: float = 2000.0, updates: int = 0
    ) -> None:
        self.module = deepcopy(model).eval()
        self.updates = updates
        self._decay, self._tau = decay, tau
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        self._averages = _floating(self.module)

    def decay(self, updates: int) -> float:
        return self._decay * (1 - math.exp(-updates / self._tau))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the averages toward model's present values."""
        self.updates += 1
        weight = 1 - self.decay(self.updates)
        torch._foreach_lerp_(self._averages, _floating(model), weight)

    def load(self, state: dict[str, torch.Tensor], updates: int) -> None:
        """Put back what a checkpoint holds."""
        self.module.load_state_dict(state)
        self.updates = updates


def _floating(model: nn.Module) -> list[torch.Tensor]:
    """Floating entries of the state dict, in its order; they are views on the model's own tensors."""
    return [value.detach() for value in model.state_dict().values() if value.is_floating_point()]
