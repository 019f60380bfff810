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

    A scaler skips a step whose gradient is not finite, so that it is no error where one is in use.

    Args:
        figures: The loss of the batch, and the norm of the gradient if a step follows.
        state: The model and its gradients.
        images: [B, 3, H, W], the model's input.
        place: The batch, for the error.

    Raises:
        NotFiniteError: The loss or the gradient is not finite; the message names the first layer
            or the first gradient that is not.
    """
    if not math.isfinite(figures.loss):
        cause = explain_non_finite(state.model, images)
        raise place.error(f"the loss is {figures.loss}; first not finite: {cause}")
    is_bad = figures.norm is not None and not math.isfinite(figures.norm)
    if is_bad and not state.scaler.is_enabled():
        bad = first_bad_gradient(state.model)
        raise place.error(f"the gradient of {bad} is not finite")


def clip_gradients(state: TrainingState) -> Tensor:
    """Unscale the gradients, add the penalty's and clip them; return their norm before that."""
    state.scaler.unscale_(state.optimizer)
    state.sparsity.add_gradients()
    return torch.nn.utils.clip_grad_norm_(state.model.parameters(), MAX_GRADIENT_NORM)


def step(state: TrainingState) -> None:
    """Update the weights with the clipped gradients, and their moving average."""
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.update(state.model)
