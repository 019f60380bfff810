"""The validation after an epoch: its settings, and how several processes share its batches.

Each process finds the objects of its own batches; the main one gets them all, and matches them with
the labels in the loader's order. So the scores, losses and notes are those of a single process that
reads the same batches. Their size follows from the images that one process trains on at once: runs
whose --batch-size divides by other numbers of processes have other batches, so that borders and the
mean losses of a batch differ in their last digits.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from data.failures import LostImages
from data.workers import ReadingStopped
from engine.detector_model import DetectorModel
from engine.evaluation.evaluate import EvalSettings, Evaluator, Scored, evaluate
from engine.parts import Parts
from engine.training import dist
from engine.training.ema import ModelEMA
from engine.training.run import Run, Setup
from utils.structures import Batch, Metrics

HALF = "fp16"  # bf16 has three bits less, and moves mAP by more than a thousandth
SHEETS = 1  # batches that are drawn after an epoch
OVERFLOWS = "the averaged weights overflow in half precision, so validations are in float32"


def validate(run: Run, parts: Parts) -> Metrics | None:
    """Score the averaged weights on all validation images; all processes must call this.

    Args:
        run: The run, at the end of an epoch.
        parts: Runs batches in parts where the memory is too small for whole ones.

    Returns:
        The scores; None in all processes but the main one.

    Raises:
        ReadingStopped: More images cannot be read than a result may lack.
    """
    setup, progress = run.setup, run.state.progress
    loader, model = setup.loaders[1], cast(DetectorModel, run.state.ema.module)
    share_averages(setup.world, run.state.ema)
    settings = validation_settings(run, parts)
    metrics = evaluate(model, loader, settings)
    overflows = not all(math.isfinite(value) for value in metrics.losses)
    if settings.precision == HALF and dist.any_true(setup.world, overflows, setup.device):
        progress.add_note(OVERFLOWS)
        metrics = evaluate(model, loader, validation_settings(run, parts))
    for notes in dist.gather(setup.world, parts.notes):
        for note in notes:
            progress.add_note(note)
    return metrics if setup.world.is_main else None


def validation_settings(run: Run, parts: Parts) -> EvalSettings:
    """How the images are scored after an epoch; only the main process prints and draws."""
    setup, config, world = run.setup, run.setup.config, run.setup.world
    is_half = setup.device.type == "cuda" and config.precision != "fp32"
    return EvalSettings(
        loss=setup.loss,
        precision=HALF if is_half and OVERFLOWS not in run.state.progress.notes else "fp32",
        verbose=config.verbose,
        single_cls=config.single_cls,
        protocol=config.protocol,
        quiet=not world.is_main,
        save_dir=setup.folder if world.is_main else None,
        sheets=0 if config.noplots else SHEETS,
        exchange=SharedBatches(setup) if world.size > 1 else None,
        parts=parts,
    )


def own_batches(count: int, world: dist.World) -> tuple[int, ...]:
    """Which of the validation's batches a process scores.

    The main process has those that are drawn, and the rest is dealt in turn, since neighbours have
    similar sizes. It is the last to get one of the rest, as it has more to do.

    Args:
        count: Number of batches.
        world: This process among its peers.
    """
    owners = [0] * min(SHEETS, count)
    owners += [(number + 1) % world.size for number in range(count - len(owners))]
    return tuple(number for number, owner in enumerate(owners) if owner == world.rank)


@dataclass(frozen=True)
class BatchShare:
    """What one process has found.

    Attributes:
        numbers: The numbers of its batches in the loader's order.
        batches: The batches, those that are not drawn without their pixels.
        found: Of each batch the detections [n, 6] of all images.
        counts: Of each batch the number of detections of its images.
        terms: [B, N] terms of the loss of each batch.
        seconds: Times by stage.
        lost: The images that could not be read.
        input_shape: Shape of its last batch.
    """

    numbers: Sequence[int]
    batches: list[Batch]
    found: list[Tensor]
    counts: list[list[int]]
    terms: Tensor
    seconds: dict[str, float]
    lost: LostImages
    input_shape: tuple[int, ...]


class SharedBatches:
    """Exchanges what the processes have found; see engine.evaluation.evaluate.Exchange."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __call__(self, evaluator: Evaluator, scored: Iterable[Scored]) -> Iterator[Scored]:
        """Score the batches of this process; the main one gets the batches of all.

        Raises:
            ReadingStopped: More images cannot be read than a result may lack, in all processes.
        """
        shares = dist.gather(self.setup.world, self.share(evaluator, scored))
        lost = LostImages.together([share.lost for share in shares])
        if lost.too_many:
            raise ReadingStopped(f"{lost.stop_reason()}; check the disk or network share")
        return take_all(evaluator, shares) if self.setup.world.is_main else iter(())

    def share(self, evaluator: Evaluator, scored: Iterable[Scored]) -> BatchShare:
        """Score the batches of this process."""
        loader = self.setup.loaders[1]
        batches: list[Batch] = []
        found: list[Tensor] = []
        counts: list[list[int]] = []
        for number, (batch, rows) in zip(loader.numbers, scored, strict=True):
            batches.append(batch if number < SHEETS else without_pixels(batch))
            counts.append([len(one) for one in rows])
            found.append(torch.cat(rows).cpu())
        return BatchShare(
            loader.numbers,
            batches,
            found,
            counts,
            torch.stack(evaluator.terms).cpu() if evaluator.terms else torch.zeros(0),
            evaluator.seconds,
            loader.lost,
            evaluator.input_shape,
        )


def without_pixels(batch: Batch) -> Batch:
    """The batch with an empty tensor in place of its images."""
    return dataclasses.replace(batch, images=batch.images[:0])


def take_all(evaluator: Evaluator, shares: Sequence[BatchShare]) -> Iterator[Scored]:
    """Give an evaluator the times and losses of all shares, and return their batches in order."""
    places = {
        number: (share, place) for share in shares for place, number in enumerate(share.numbers)
    }
    ordered = [places[number] for number in sorted(places)]
    evaluator.terms = [share.terms[place] for share, place in ordered]
    evaluator.batches = len(ordered)
    for stage in evaluator.seconds:
        evaluator.seconds[stage] = sum(share.seconds[stage] for share in shares)
    if ordered:
        evaluator.input_shape = ordered[-1][0].input_shape
    for share, place in ordered:
        yield share.batches[place], list(share.found[place].split(share.counts[place]))


def share_averages(world: dist.World, ema: ModelEMA) -> None:
    """Give all processes the averages of the main one; their batch statistics differ."""
    if world.size > 1:
        flat = torch.cat([value.flatten() for value in ema.averages])
        torch.distributed.broadcast(flat, src=0)
        parts = flat.split([value.numel() for value in ema.averages])
        for value, part in zip(ema.averages, parts, strict=True):
            value.copy_(part.view_as(value))
