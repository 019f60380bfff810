"""The optimizer as in YOLOv5 and YOLOv8: three groups of parameters, a warm-up, a schedule.

engine/training/build.py calls choose_optimizer once the number of images is known; train.py asks
the Schedule for the rates of each iteration. They follow from the iteration's number, so that a
resumed run has an optimizer to restore, but no scheduler.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from models.attention import attention_of
from utils.config import TrainConfig
from utils.families import Family
from utils.hyperparameters import Hyperparameters

MAX_GRADIENT_NORM = 10.0
SHORT_RUN = 10_000  # optimizer steps up to which `--optimizer auto` takes AdamW
NORMS = tuple(kind for name, kind in vars(nn).items() if "Norm" in name and isinstance(kind, type))


def parameter_groups(
    model: nn.Module,
) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    """Split the parameters into (biases, decayed, not decayed), the order of YOLOv5's groups.

    Parameters named `bias` are biases. Weights of norms are not decayed, nor are bare scales and
    offsets of attention modules (with at most one side longer than 1), which decay would pull away
    from the identity. All other parameters are decayed.
    """
    biases: list[nn.Parameter] = []
    decayed: list[nn.Parameter] = []
    undecayed: list[nn.Parameter] = []
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if name == "bias":
                biases.append(parameter)
            elif (name == "weight" and isinstance(module, NORMS)) or _is_bare_scale(
                module, name, parameter
            ):
                undecayed.append(parameter)
            else:
                decayed.append(parameter)
    return biases, decayed, undecayed


def _is_bare_scale(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    is_vector = sum(side > 1 for side in parameter.shape) <= 1
    return name != "weight" and is_vector and not isinstance(module, nn.MultiheadAttention)


@dataclass(frozen=True)
class AutoChoice:
    """The choice of YOLOv8's `auto`: optimizer, learning rate, and momentum (or first beta)."""

    optimizer: str
    lr0: float
    momentum: float


def auto_choice(iterations: int, class_count: int) -> AutoChoice:
    """YOLOv8's rule: AdamW for short runs, with a rate that falls with the classes, else SGD.

    iterations is the number of optimizer steps of the run. For long runs YOLOv8's releases since
    8.4 take MuSGD; earlier ones take SGD, as here.
    """
    if iterations <= SHORT_RUN:
        return AutoChoice("AdamW", round(0.002 * 5 / (4 + class_count), 6), 0.9)
    return AutoChoice("SGD", 0.01, 0.9)


def choose_optimizer(
    config: TrainConfig, hyp: Hyperparameters, images: int, class_count: int
) -> tuple[TrainConfig, Hyperparameters, str]:
    """Replace `--optimizer auto` by the optimizer that it chooses.

    As in YOLOv8 the biases' warm-up then starts at 0, and SGD's momentum is the hyperparameter's,
    since the warm-up ends there.

    Args:
        config, hyp: The flags and hyperparameters.
        images: Number of images in the training split.
        class_count: Number of the model's classes.

    Returns:
        config and hyp with the choice filled in, and a line that states the choice and its reason,
        or "" if the optimizer was given.
    """
    if config.optimizer != "auto":
        return config, hyp, ""
    steps = math.ceil(images / max(config.batch_size, hyp.nominal_batch)) * config.epochs
    choice = auto_choice(steps, class_count)
    is_sgd = choice.optimizer == "SGD"
    momentum = hyp.momentum if is_sgd else choice.momentum
    name = "SGD with Nesterov momentum (YOLOv8's MuSGD is not here)" if is_sgd else choice.optimizer
    why = (
        f"{steps} steps are {'more than' if is_sgd else 'at most'} {SHORT_RUN}, {class_count}"
        " classes"
    )
    rates = f"lr0 {choice.lr0:g}, momentum {momentum:g}, warmup_bias_lr 0"
    note = f"optimizer auto: {name}, {rates}, which override --hyp: {why}"
    changed = dataclasses.replace(hyp, lr0=choice.lr0, momentum=momentum, warmup_bias_lr=0.0)
    return dataclasses.replace(config, optimizer=choice.optimizer), changed, note


def make_optimizer(
    model: nn.Module, config: TrainConfig, hyp: Hyperparameters
) -> torch.optim.Optimizer:
    """Make SGD with Nesterov momentum, Adam or AdamW; of the three groups only the second decays.

    With --attention-lr the attention's parameters have three groups of their own after them.

    On a GPU or a processor each group is updated by one kernel, which takes a third of the time of
    a kernel for each operation. On a GPU it also leaves out a step whose gradients are not finite,
    so that the host need not ask whether they are.

    Args:
        model: The model, whose parameters it updates.
        config: Names the optimizer, where choose_optimizer has resolved `auto`.
        hyp: Learning rate, momentum and weight decay.
    """
    biases, decayed, undecayed = parameter_groups(model)
    groups: list[dict[str, Any]] = [
        {"params": biases, "weight_decay": 0.0},
        {"params": decayed, "weight_decay": config.scaled_weight_decay(hyp)},
        {"params": undecayed, "weight_decay": 0.0},
    ]
    if config.attention_lr != 1:
        groups = faster_attention(model, groups, config.attention_lr)
    is_fused = all(one.is_cuda or one.device.type == "cpu" for one in model.parameters())
    how = {"fused": True} if is_fused else {"foreach": True}
    if config.optimizer == "SGD":
        return torch.optim.SGD(
            groups, lr=hyp.lr0, momentum=hyp.momentum, nesterov=hyp.momentum > 0, **how
        )
    kind: type[torch.optim.Adam] = (
        torch.optim.Adam if config.optimizer == "Adam" else torch.optim.AdamW
    )
    return kind(groups, lr=hyp.lr0, betas=(hyp.momentum, 0.999), **how)


def faster_attention(
    model: nn.Module, groups: Sequence[dict[str, Any]], factor: float
) -> list[dict[str, Any]]:
    """Groups of the same kinds for the attention's parameters, whose rate is multiplied.

    YOLO12's own attention is among them.

    Args:
        model: The model.
        groups: All parameters, in three groups.
        factor: By which apply_rates multiplies the rates of the new groups.

    Returns:
        The groups without those parameters, then one group of them for each, which may be empty.
    """
    own = {id(one) for module in attention_of(model).values() for one in module.parameters()}

    def part(group: dict[str, Any], of_attention: bool) -> dict[str, Any]:
        chosen = [one for one in group["params"] if (id(one) in own) == of_attention]
        return {**group, "params": chosen, "rate_factor": factor if of_attention else 1.0}

    return [part(group, of_attention) for of_attention in (False, True) for group in groups]


def restore_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load the state dict of an optimizer that may have run on another kind of device.

    It has the same groups; how they are updated depends on the present device.
    """
    own = [{name: group[name] for name in ("foreach", "fused")} for group in optimizer.param_groups]
    groups = [{**group, **how} for group, how in zip(saved["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**saved, "param_groups": groups})


@dataclass(frozen=True)
class Rates:
    """The rates of one iteration.

    Attributes:
        learning_rates: Rates of the three parameter groups.
        momentum: Momentum, for an optimizer that has one.
        accumulate: Number of batches whose gradients are added up before a step.
    """

    learning_rates: tuple[float, float, float]
    momentum: float
    accumulate: int


@dataclass(frozen=True)
class Schedule:
    """The rates of every iteration.

    Attributes:
        config, hyp: Epochs, batch size, rates.
        batches: Number of iterations in an epoch.
        family: The family whose recipe is followed.
    """

    config: TrainConfig
    hyp: Hyperparameters
    batches: int
    family: Family

    @property
    def warmup_iterations(self) -> int:
        """The last iteration of the warm-up."""
        longest = self.config.epochs - 1 if self.family.warmup_ends_early else math.inf
        return max(
            round(min(self.hyp.warmup_epochs, longest) * self.batches), self.hyp.warmup_iterations
        )

    def decay_factor(self, epoch: int) -> float:
        """Share of lr0 at an epoch, falling linearly or as a half cosine from 1 to lrf."""
        progress = epoch / self.config.epochs
        if self.config.cos_lr:
            return (1 - math.cos(progress * math.pi)) / 2 * (self.hyp.lrf - 1) + 1
        return (1 - progress) * (1 - self.hyp.lrf) + self.hyp.lrf

    def rates(self, iteration: int) -> Rates:
        """The rates of an iteration, counted from the start of the run."""
        epoch, last_warm = iteration // self.batches, self.warmup_iterations
        full = self.config.accumulate(self.hyp.nominal_batch)
        if iteration > last_warm:
            # YOLOv5's scheduler lags by one epoch once the warm-up is over, and the epoch in which
            # the warm-up ends keeps its last value. Both are reproduced, since its published
            # recipes were tuned with them. YOLOv8's does neither.
            lag = 0 if epoch == last_warm // self.batches else self.family.schedule_lag
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
    """Set the groups' learning rates, and SGD's momentum; Adam's betas stay, as in YOLOv5."""
    rising = rates.learning_rates[1]
    for number, group in enumerate(optimizer.param_groups):
        kind = number % len(rates.learning_rates)  # groups of attention repeat the three kinds
        # The biases' higher rate in the warm-up is not multiplied: it may be 0.1.
        more = (group.get("rate_factor", 1.0) - 1) * rising
        group["lr"] = rates.learning_rates[kind] + more
        if "momentum" in group:
            group["momentum"] = rates.momentum
