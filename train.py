"""Train a detector: python train.py --cfg models/yolov5s_SimAM.yaml --data data/shapes.yaml

This file holds the loop: train() (per epoch: learn, validate, log, save) and train_epoch() (per
batch: rates, forward, loss, backward, step). In engine/training, plan.py and build.py prepare the
run, run.py defines and saves it, and finish.py scores the result through engine/evaluation.
"""

from __future__ import annotations

import sys
import time
from typing import cast

import torch
from tqdm import tqdm

from data.workers import ReadingStopped
from engine.detector_model import DetectorModel
from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.training import dist
from engine.training.diagnose import BatchPlace, check_loss, first_bad_gradient
from engine.training.finish import DRAWN_TRAIN_BATCHES, draw_labels, draw_train_batch, finish_run
from engine.training.inputs import change_scale, to_device
from engine.training.logbook import (
    ResultsLog,
    StepTiming,
    columns,
    time_to_come,
    train_header,
    train_row,
)
from engine.training.lost import note_lost_images, save_stopped, stop_if_lost
from engine.training.optim import MAX_GRADIENT_NORM, apply_rates
from engine.training.plan import plan
from engine.training.run import (
    Progress,
    Run,
    Setup,
    TrainingState,
    lean_snapshot,
    save_last,
    snapshot,
)
from engine.training.sampling import focused_image_weights
from models.own.adapter import modules_flag
from utils import checkpoint as checkpoints
from utils.cli import read_flags
from utils.config import REFUSED_TRAIN_FLAGS, TrainConfig
from utils.device import autocast, memory_text
from utils.errors import run_main
from utils.signals import StopRequested, StopSignal
from utils.structures import Metrics


def train(run: Run) -> Metrics | None:
    """Train to the last epoch, or until the fitness stops rising; return the best one's metrics.

    After a signal the state is saved, and the program ends with exit status 130 (Ctrl-C) or 143
    (SIGTERM); --resume continues from there. Processes other than the main one return None.
    """
    setup, state = run.setup, run.state
    config, world, progress = setup.config, setup.world, state.progress
    if world.is_main and not config.noplots:
        draw_labels(setup.folder, setup.data[0])
    names = columns(setup.loss.names, state.sparsity.columns())
    log = ResultsLog(setup.folder, names, progress.epoch) if world.is_main else None
    timing, first, start = StepTiming(), progress.epoch, time.monotonic()
    done = dist.any_true(world, should_stop(config, world, progress), setup.device)
    with StopSignal() as stop:
        try:
            while not done:
                train_epoch(run, stop, timing)
                note_lost_images(run)
                with stop.anywhere():
                    metrics = validate_epoch(run)
                if log is not None:
                    write_epoch(run, log, metrics)
                progress.epoch, progress.batch = progress.epoch + 1, 0
                keep_epoch(run)
                if world.is_main and first + 1 == progress.epoch < config.epochs:
                    print(time_to_come(time.monotonic() - start, config.epochs - progress.epoch))
                with stop.anywhere():
                    done = dist.any_true(world, should_stop(config, world, progress), setup.device)
                if not (config.nosave or done):  # finish_run() writes the last one itself
                    save_last(run)
            with stop.anywhere():
                return finish_run(run, timing)
        except StopRequested as request:
            save_last(run)
            print(
                f"\nstopped in epoch {progress.epoch}; continue with: python train.py --resume"
                f" {setup.last}{modules_flag(state.model)}"
            )
            sys.exit(request.status)
        except ReadingStopped as error:
            raise save_stopped(run, error) from None
        finally:
            if log is not None:
                log.close()
            dist.stop(world)


def train_epoch(run: Run, stop: StopSignal, timing: StepTiming) -> None:
    """Train on the remaining batches of the current epoch.

    Args:
        run: The run, whose state is changed in place.
        stop: The signals received so far, checked after each batch.
        timing: Collects the seconds of each part of an iteration.

    Raises:
        StopRequested: A signal arrived in any process.
        ReadingStopped: Too many images are missing, or a worker process has ended.
        UserError: The loss or a gradient is not finite.
    """
    setup, state = run.setup, run.state
    config, progress, loader = setup.config, state.progress, setup.loaders[0]
    start_epoch(setup, state)
    if setup.world.is_main:
        print("\n" + train_header(setup.loss.names))
    bar = tqdm(loader, total=len(loader), initial=progress.batch, disable=not setup.world.is_main,
               dynamic_ncols=True)  # fmt: skip
    mark = time.perf_counter()
    for batch in bar:
        mark = timing.add("loader", mark)  # the time since the last batch, spent waiting
        if is_drawn(setup, progress):
            draw_train_batch(setup.folder, progress.batch, batch, state.model.names)
            mark = time.perf_counter()
        iteration = progress.epoch * len(loader) + progress.batch
        place = BatchPlace(progress.epoch, progress.batch, batch.paths, setup.last)
        rates = setup.schedule.rates(iteration)
        apply_rates(state.optimizer, rates)
        images, targets = to_device(batch, setup.device)
        if config.multi_scale:
            images, targets = change_scale(images, targets, run, iteration)
        with autocast(setup.device, config.precision):
            raw = state.network(images)
        total, terms = setup.loss(raw, targets, (images.shape[2], images.shape[3]))
        check_loss(total, state.model, images, place)
        mark = timing.add("forward", mark)
        # DistributedDataParallel averages gradients over processes, but the loss is a sum over
        # images; the factor turns their mean back into a sum.
        state.scaler.scale(total * setup.world.size).backward()
        mark = timing.add("backward", mark)
        if iteration - progress.last_step >= rates.accumulate:
            step(state, place)
            progress.last_step = iteration
        progress.batch += 1
        progress.loss_sums = [
            a + b for a, b in zip(progress.loss_sums, terms.tolist(), strict=True)
        ]
        mark = timing.add("optimizer", mark, images=len(batch.paths))
        bar.set_description_str(progress_row(setup, progress, len(batch.targets), images.shape[-1]))
        stops = bool(stop.status) or loader.lost.too_many
        if dist.any_true(setup.world, stops, setup.device):
            bar.close()
            stop_if_lost(setup)
            raise StopRequested(stop.status or 143)


def is_drawn(setup: Setup, progress: Progress) -> bool:
    """Whether to draw the current batch, one of the first of a run."""
    is_early = progress.epoch == 0 and progress.batch < DRAWN_TRAIN_BATCHES
    return is_early and setup.world.is_main and not setup.config.noplots


def start_epoch(setup: Setup, state: TrainingState) -> None:
    """Prepare the model, its gradients, the loss sums and the loader for this epoch and batch."""
    config, progress, loader = setup.config, state.progress, setup.loaders[0]
    state.model.train()
    for row in state.model.model:
        # In training mode the batch norms of frozen rows would still update their statistics.
        for module in row.modules() if row.i in config.frozen_rows() else ():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
    if progress.batch == 0:
        state.optimizer.zero_grad(set_to_none=True)
        progress.loss_sums = [0.0] * len(setup.loss.names)
    if config.close_mosaic and progress.epoch >= config.epochs - config.close_mosaic:
        loader.close_mosaic()
    if config.image_weights:
        loader.set_weights(focused_image_weights(setup.data[0], progress.class_ap))
    loader.set_epoch(progress.epoch, progress.batch)


def step(state: TrainingState, place: BatchPlace) -> None:
    """Clip the gradients, update the weights, and update their moving average.

    Raises UserError for a gradient that is not finite, unless a scaler is in use, which skips that
    step.
    """
    state.scaler.unscale_(state.optimizer)
    state.sparsity.add_gradients()
    norm = torch.nn.utils.clip_grad_norm_(state.model.parameters(), MAX_GRADIENT_NORM)
    if not state.scaler.is_enabled() and not torch.isfinite(norm):
        raise place.error(f"the gradient of {first_bad_gradient(state.model)} is not finite")
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.ema.update(state.model)


def progress_row(setup: Setup, progress: Progress, instances: int, size: int) -> str:
    """The line below train_header, with the mean of each loss term over the epoch so far.

    Args:
        setup: The fixed part of the run.
        progress: The position of the run, after the last batch.
        instances: Number of labels in the last batch.
        size: Width of that batch's images, pixels.
    """
    means = (value / max(progress.batch, 1) for value in progress.loss_sums)
    losses = dict(zip(setup.loss.names, means, strict=True))
    epoch = f"{progress.epoch}/{setup.config.epochs - 1}"
    return train_row(epoch, memory_text(setup.device), losses, instances, size)


def should_stop(config: TrainConfig, world: dist.World, progress: Progress) -> bool:
    """Whether training is over: no epoch is left, or --patience epochs brought no better fitness.

    Only the main process knows the fitness, so only it may stop early. Without validations no
    process does.
    """
    if progress.epoch >= config.epochs:
        return True
    waited = progress.epoch - 1 - progress.best_epoch
    return world.is_main and not config.noval and config.patience > 0 and waited >= config.patience


def validate_epoch(run: Run) -> Metrics | None:
    """Score the averaged weights, and save them as best.pt if they are the best so far.

    Returns None if this epoch is not validated; under --noval only the last epoch is.
    """
    setup, config, progress = run.setup, run.setup.config, run.state.progress
    is_last = progress.epoch + 1 >= config.epochs
    if setup.loaders[1] is None or (config.noval and not is_last):
        return None
    settings = EvalSettings(
        loss=setup.loss,
        verbose=config.verbose,
        single_cls=config.single_cls,
        protocol=config.protocol,
        save_dir=setup.folder,
        sheets=int(not config.noplots),
    )
    metrics = evaluate(cast(DetectorModel, run.state.ema.module), setup.loaders[1], settings)
    for note in metrics.notes:
        progress.add_note(note)
    progress.class_ap = [float(value) for value in metrics.details.class_ap]
    progress.scores = {
        "mAP_0.5": metrics.map50,
        "mAP_0.5:0.95": metrics.map,
        "fitness": metrics.fitness,
    }
    if metrics.fitness > progress.best_fitness:
        progress.best_epoch = progress.epoch
    if metrics.fitness >= progress.best_fitness:  # at a tie best.pt is the later one, as in YOLOv5
        progress.best_fitness = metrics.fitness
        checkpoints.save(lean_snapshot(run), setup.best)
    return metrics


def write_epoch(run: Run, log: ResultsLog, metrics: Metrics | None) -> None:
    """Write one row of results.csv.

    Args:
        run: The run, at the end of an epoch.
        log: The file and its rows.
        metrics: The scores of the epoch; None if it was not validated.
    """
    state, progress = run.state, run.state.progress
    names = (f"train/{name}_loss" for name in run.setup.loss.names)
    means = (total / max(progress.batch, 1) for total in progress.loss_sums)
    trained = {
        "epoch": progress.epoch,
        **dict(zip(names, means, strict=True)),
        **state.sparsity.columns(),
    }
    log.add(trained, metrics, [group["lr"] for group in state.optimizer.param_groups])


def keep_epoch(run: Run) -> None:
    """Write a separate whole checkpoint of the epoch just ended, every --save-period epochs."""
    epoch, period = run.state.progress.epoch - 1, run.setup.config.save_period
    if period > 0 and epoch % period == 0 and run.setup.world.is_main:
        checkpoints.save(snapshot(run), run.setup.folder / "weights" / f"epoch{epoch}.pt")


def main(argv: list[str] | None = None) -> Metrics | None:
    """Read the flags, complete them from the data set and the defaults, and train."""
    return train(plan(read_flags(TrainConfig, argv, "Train a detector.", REFUSED_TRAIN_FLAGS)))


if __name__ == "__main__":
    sys.exit(run_main(main))
