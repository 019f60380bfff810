"""The optimizer as YOLOv5 sets it up: three groups of parameters, a warm-up, and a schedule that is a pure function.

Nothing here has a state of its own but the optimizer: rates follow from the number of the step, so a resumed run
needs no scheduler to be restored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from utils.config import Hyperparameters, TrainConfig

MAX_GRADIENT_NORM = 10.0
NORMS = tuple(kind for name, kind in vars(nn).items() if "Norm" in name and isinstance(kind, type))


def parameter_groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Split into (biases, decayed, not decayed), the order of YOLOv5's optimizer groups.

    Biases are what is named so. Norm weights are not decayed, nor are bare scales and offsets of attention modules
    (at most one side longer than 1), which decay would pull away from the identity. Everything else is.
    """
    biases: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                biases.append(parameter)
            elif (name == "weight" and isinstance(module, NORMS)) or _is_bare_scale(module, name, parameter):
                undecayed.append(parameter)
            else:
                decayed.append(parameter)
    return biases, decayed, undecayed


def _is_bare_scale(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    is_vector = sum(side > 1 for side in parameter.shape) <= 1
    return name != "weight" and is_vector and not isinstance(module, nn.MultiheadAttention)


def make_optimizer(model: nn.Module, config: TrainConfig, hyp: Hyperparameters) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum, Adam or AdamW over the three groups; only the second one decays."""
    biases, decayed, undecayed = parameter_groups(model)
    groups = [
        {"params": biases, "weight_decay": 0.0},
        {"params": decayed, "weight_decay": config.scaled_weight_decay(hyp)},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    if config.optimizer == "SGD":
        return torch.optim.SGD(groups, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0, foreach=True)
    kind = {"Adam": torch.optim.Adam, "AdamW": torch.optim.AdamW}[config.optimizer]
    return kind(groups, lr=hyp.lr0, betas=(hyp.momentum, 0.999), foreach=True)


@dataclass(frozen=True)
class Rates:
    """What one iteration uses: a learning rate per group, the momentum, batches per optimizer step."""

    learning_rates: tuple[float, float, float]
    momentum: float
    accumulate: int


@dataclass(frozen=True)
class Schedule:
    """Rates of every iteration, YOLOv5's recipe. batches: iterations an epoch."""

    config: TrainConfig
    hyp: Hyperparameters
    batches: int

    @property
    def warmup_iterations(self) -> int:
        return max(round(self.hyp.warmup_epochs * self.batches), self.hyp.warmup_iterations)

    def decay_factor(self, epoch: int) -> float:
        """Share of lr0 at an epoch: a line, or half a cosine, from 1 to lrf."""
        progress = epoch / self.config.epochs
        if self.config.cos_lr:
            return (1 - math.cos(progress * math.pi)) / 2 * (self.hyp.lrf - 1) + 1
        return (1 - progress) * (1 - self.hyp.lrf) + self.hyp.lrf

    def rates(self, iteration: int) -> Rates:
        """Rates of an iteration, counted from the start of the run.

        YOLOv5's scheduler lags by one epoch once the warm-up is over, and the epoch in which the warm-up ends keeps
        its last value; both are reproduced, since its published recipes were tuned with them.
        """
        epoch, last_warm = iteration // self.batches, self.warmup_iterations
        full = self.config.accumulate(self.hyp.nominal_batch)
        if iteration > last_warm:
            lag = 0 if epoch == last_warm // self.batches else 1
            rate = self.hyp.lr0 * self.decay_factor(epoch - lag)
            return Rates((rate, rate, rate), self.hyp.momentum, full)
        rate = self.hyp.lr0 * self.decay_factor(epoch)
        ramp = [0, last_warm]
        rising = float(np.interp(iteration, ramp, [0.0, rate]))
        bias = float(np.interp(iteration, ramp, [self.hyp.warmup_bias_lr, rate]))
        momentum = float(np.interp(iteration, ramp, [self.hyp.warmup_momentum, self.hyp.momentum]))
        nominal = self.hyp.nominal_batch / self.config.batch_size
        accumulate = max(1, round(float(np.interp(iteration, ramp, [1, nominal]))))
        return Rates((bias, rising, rising), momentum, accumulate)


def apply_rates(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Set the groups' learning rates, and the momentum where the optimizer has one (not Adam, as in YOLOv5)."""
    for group, rate in zip(optimizer.param_groups, rates.learning_rates, strict=True):
        group["lr"] = rate
        if "momentum" in group:
            group["momentum"] = rates.momentum
