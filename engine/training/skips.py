"""Steps that a scaler of half-precision gradients skips, since a gradient is not finite.

The scaler multiplies the loss, so that small gradients are not lost in fp16, and halves its factor
when one overflows. A few skipped steps are therefore usual, at the beginning of a run most of all.
Only 20 of them in a row say that no factor helps.

As in YOLOv5, a skipped step counts for the schedule and moves the averaged weights like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.training.diagnose import BatchPlace, explain_non_finite, first_bad_gradient
from engine.training.run import Progress, TrainingState

MOST_IN_A_ROW = 20
USUAL_AT_FIRST = 16  # halvings from the scaler's first factor, 2**16, to 1


def count_step(
    loss: float, norm: float, state: TrainingState, images: Tensor, place: BatchPlace
) -> None:
    """Count a step if the scaler is about to skip it; call it before the step.

    Args:
        loss: The loss of the batch.
        norm: The norm of its gradient, which decides.
        state: The run's state; the counts are in its progress.
        images: [B, 3, H, W], the model's input.
        place: The batch, for the error.

    Raises:
        NotFiniteError: This is the 20th skipped step in a row.
    """
    progress = state.progress
    if math.isfinite(norm):
        progress.skips_in_a_row = 0
        return
    progress.skips += 1
    progress.skips_in_a_row += 1
    if progress.skips == 1:
        print(
            f"epoch {place.epoch}, batch {place.batch}: a gradient is not finite in fp16, so the"
            " step is skipped, and the next loss multiplied by half as much; a few such steps are"
            " usual"
        )
    repair_statistics(state.model, state.ema.module)
    if progress.skips_in_a_row >= MOST_IN_A_ROW:
        raise place.error(
            f"{MOST_IN_A_ROW} steps in a row were skipped, this one at a loss multiplied by"
            f" {state.scaler.get_scale():.2g}: {_cause(loss, state.model, images, place)}"
        )


def _cause(loss: float, model: nn.Module, images: Tensor, place: BatchPlace) -> str:
    """What is not finite, as far as it can be found."""
    if math.isfinite(loss):
        return f"the gradient of {first_bad_gradient(model)} is not finite"
    cause = explain_non_finite(model, images, place.precision)
    return f"the loss is {loss}; first not finite: {cause}"


@torch.no_grad()
def repair_statistics(model: nn.Module, average: nn.Module) -> None:
    """Replace buffers that an overflow has made non-finite by their moving averages.

    A running mean that takes in one infinite value would stay so for the rest of the run, although
    the step of that batch is skipped.

    Args:
        model: The model, whose buffers are changed in place.
        average: The moving average of the same model, which no overflow has reached yet.
    """
    kept = dict(average.named_buffers())
    for key, value in model.named_buffers():
        if value.is_floating_point() and not torch.isfinite(value).all():
            value.copy_(kept[key])


def add_terms(progress: Progress, terms: Sequence[float]) -> None:
    """Add a batch's loss terms to the epoch's; one that is not finite counts as their mean so far.

    Call it before the batch is counted.
    """
    before = max(progress.batch, 1)
    progress.loss_sums = [
        total + (term if math.isfinite(term) else total / before)
        for total, term in zip(progress.loss_sums, terms, strict=True)
    ]


def note_skips(state: TrainingState) -> None:
    """Say at the end of a run how many steps were skipped, if that is more than usual."""
    if not state.scaler.is_enabled():
        return
    skips, steps = state.progress.skips, state.ema.updates
    # The scaler doubles its factor after so many steps, and it may then be too large once.
    if skips > USUAL_AT_FIRST + steps // state.scaler.get_growth_interval():
        state.progress.add_note(
            f"{skips} of {steps} steps were skipped, since a gradient was not finite in fp16, which"
            " is more than usual; compare with --precision fp32"
        )
