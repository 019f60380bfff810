"""The step of the optimizer, and the one look that the host takes at a batch before it.

On a GPU each value that the host reads makes it wait until the device has done all its work, so
the loss, its terms and the norm of the gradient are read together, once for each batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from engine.training.diagnose import BatchPlace, explain_non_finite, first_bad_gradient
from engine.training.optim import MAX_GRADIENT_NORM
from engine.training.run import TrainingState
from engine.training.skips import count_step


class BatchFigures(NamedTuple):
    """What the host reads of a batch.

    Attributes:
        loss: The loss.
        terms: Its weighted terms.
        norm: The norm of the gradient before it was clipped; None if the batch only adds to it.
    """

    loss: float
    terms: list[float]
    norm: float | None


def read_figures(total: Tensor, terms: Tensor, norm: Tensor | None) -> BatchFigures:
    """Copy the figures of a batch to the host, which waits for the device once.

    Args:
        total: The loss, a scalar.
        terms: [N] its terms.
        norm: The norm of the gradient, a scalar; None before there is one.
    """
    parts = [total.detach(), *([] if norm is None else [norm])]
    loss, *rest = torch.cat((torch.stack(parts), terms)).tolist()
    return BatchFigures(loss, rest[-len(terms) :], None if norm is None else rest[0])


def check_loss(
    figures: BatchFigures, state: TrainingState, images: Tensor, place: BatchPlace
) -> None:
    """Check a batch before its gradient changes the weights.

    Where a scaler is in use, it skips a step whose gradient is not finite, which is only counted.

    Args:
        figures: The loss of the batch, and the norm of the gradient if a step follows.
        state: The model and its gradients.
        images: [B, 3, H, W], the model's input.
        place: The batch, for the error.

    Raises:
        NotFiniteError: The loss or the gradient is not finite; the message names the first layer
            or the first gradient that is not. With a scaler, too many steps in a row are skipped.
    """
    if state.scaler.is_enabled():
        if figures.norm is not None:
            count_step(figures.loss, figures.norm, state, images, place)
        return
    if not math.isfinite(figures.loss):
        cause = explain_non_finite(state.model, images, place.precision)
        raise place.error(f"the loss is {figures.loss}; first not finite: {cause}")
    if figures.norm is not None and not math.isfinite(figures.norm):
        bad = first_bad_gradient(state.model)
        raise place.error(f"the gradient of {bad} is not finite")


def gradient_norm(state: TrainingState) -> Tensor:
    """Unscale the gradients, add the penalty's, and return their norm, a scalar on the device."""
    state.scaler.unscale_(state.optimizer)
    state.sparsity.add_gradients()
    gradients = [one.grad for one in state.model.parameters() if one.grad is not None]
    return torch.nn.utils.get_total_norm(gradients)


def step(state: TrainingState, norm: Tensor) -> None:
    """Update the weights with the gradients, clipped by their norm, and the moving average.

    They are clipped here, after check_loss(): a norm that is not finite would make all of them so,
    and no one could tell which was the first.
    """
    parameters = state.model.parameters()
    torch.nn.utils.clip_grads_with_norm_(parameters, MAX_GRADIENT_NORM, norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.update(state.model)
