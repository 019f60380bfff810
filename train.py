"""Train a detector: python train.py --cfg models/yolov5s_SimAM.yaml --data data/shapes.yaml

This file holds the loop: train() (per epoch: learn, validate, log, save) and train_epoch() (per
batch: rates, forward, loss, backward, step). In engine/training, plan.py and build.py prepare the
run, run.py defines and saves it, and finish.py scores the result through engine/evaluation.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before the other imports, which take seconds
    from utils.opening import open_program
    from utils.train_line import TRAIN_LINE

    open_program(TRAIN_LINE)

import time

import torch
from tqdm import tqdm

from engine.training import dist
from engine.training.diagnose import BatchPlace
from engine.training.ending import Keeper, end_unread, quiet_writers, safe_ending
from engine.training.finish import draw_labels, draw_train_batch, finish_run, is_drawn
from engine.training.inputs import change_scale, to_device
from engine.training.logbook import (
    ResultsLog,
    StepTiming,
    open_log,
    progress_row,
    time_to_come,
    train_header,
)
from engine.training.lost import note_lost_images, stop_if_lost
from engine.training.moments import Tell, tell_nobody
from engine.training.optim import apply_rates
from engine.training.parallel import batch_context, is_agreed
from engine.training.patience import note_early_stop, should_stop
from engine.training.plan import plan
from engine.training.run import (
    Run,
    Setup,
    TrainingState,
    lean_snapshot,
    save_start,
)
from engine.training.sampling import focused_image_weights
from engine.training.skips import add_terms
from engine.training.step import check_loss, gradient_norm, read_figures, step
from engine.training.validation import validate
from engine.training.waiting import print_waiting, start_workers
from utils import checkpoint as checkpoints
from utils.device import autocast
from utils.errors import run_main
from utils.signals import StopRequested, StopSignal, ignore_signals
from utils.streams import guarded_output
from utils.structures import Batch, Metrics
from utils.terminal import has_errors
from utils.train_line import TRAIN_LINE


def train(run: Run, tell: Tell = tell_nobody) -> Metrics | None:
    """Train to the last epoch, or until the fitness stops rising; return the best one's metrics.

    If the run ends before that, its state is saved where possible, and one line names the command
    that continues it. After a signal the exit status is 128 plus its number, as for Ctrl-C 130.
    Processes other than the main one return None. In the main one, `tell` is called at each of
    MOMENTS (engine/training/moments.py), and may end the run after an epoch.
    """
    with StopSignal(pipes=True) as stop, guarded_output(stop.request):
        keeper = Keeper(run, stop, tell)
        try:
            with safe_ending(keeper), quiet_writers():
                metrics = learn(keeper)
        finally:
            dist.stop(run.setup.world)
            if run.setup.lock is not None:
                run.setup.lock.close()
        end_unread(keeper)
        # Told after the last save, so that nothing is lost if a callback fails.
        keeper.moments("on_model_save")
        keeper.moments("on_train_end", metrics)
    return metrics


def learn(keeper: Keeper) -> Metrics | None:
    """Train and validate epoch by epoch, and finish the run."""
    run, setup, state = keeper.run, keeper.run.setup, keeper.run.state
    config, world, progress = setup.config, setup.world, state.progress
    save_start(run)
    if world.is_main and not config.noplots:
        draw_labels(setup.folder, setup.data[0])
    log = open_log(run) if world.is_main else None
    timing, first, start = StepTiming(), progress.epoch, time.monotonic()
    done = dist.any_true(world, should_stop(config, world, progress), setup.device)
    try:
        if not done:
            start_workers(setup.loaders)
            keeper.moments("on_train_start")
        while not done:
            keeper.moments("on_train_epoch_start")
            train_epoch(keeper, timing)
            if world.is_main and progress.epoch == first:
                print_waiting(timing, setup.loaders[0], setup.device.type)
            note_lost_images(run)
            keeper.moments("on_train_epoch_end")
            metrics = validate_epoch(keeper)
            if log is not None:
                write_epoch(run, log, metrics)
            keeper.moments("on_fit_epoch_end", metrics)
            with keeper.batch():
                progress.epoch, progress.batch = progress.epoch + 1, 0
            keeper.save_period()
            if world.is_main and first + 1 == progress.epoch < config.epochs:
                print(time_to_come(time.monotonic() - start, config.epochs - progress.epoch))
            with keeper.anywhere():
                is_over = bool(keeper.moments.stop) or should_stop(config, world, progress)
                done = dist.any_true(world, is_over, setup.device)
            if not (config.nosave or done):  # finish_run() writes the last one itself
                keeper.save()
                keeper.moments("on_model_save")
        if keeper.moments.stop:
            keeper.moments.note_stop()
        elif world.is_main:
            note_early_stop(config, progress)
        with keeper.anywhere():
            return finish_run(run, timing, time.monotonic() - start)
    finally:
        if log is not None:
            log.close()


def train_epoch(keeper: Keeper, timing: StepTiming) -> None:
    """Train on the remaining batches of the current epoch.

    Args:
        keeper: The run, whose state is changed in place, and the signals received so far, which
            are looked at after each batch.
        timing: Collects the seconds of each part of an iteration.

    Raises:
        StopRequested: A signal arrived in any process.
        ReadingStopped: Too many images are missing, or a worker process has ended.
        UserError: The loss or a gradient is not finite.
    """
    setup, state, stop = keeper.run.setup, keeper.run.state, keeper.stop
    progress, loader = state.progress, setup.loaders[0]
    start_epoch(setup, state)
    if setup.world.is_main:
        print("\n" + train_header(setup.loss.names))
    is_shown = setup.world.is_main and has_errors()
    with tqdm(loader, total=len(loader), initial=progress.batch, disable=not is_shown,
              dynamic_ncols=True) as bar:  # fmt: skip
        mark = time.perf_counter()
        for batch in bar:
            timing.add("loader", mark)  # the time since the last batch, spent waiting
            if is_drawn(setup, progress):
                draw_train_batch(setup.folder, progress.batch, batch, state.model.names)
            keeper.moments("on_train_batch_start")
            with keeper.batch():
                size = train_batch(keeper.run, batch, timing)
            keeper.moments("on_train_batch_end")
            mark = time.perf_counter()
            bar.set_description_str(progress_row(setup, progress, len(batch.targets), size))
            stops = bool(stop.status) or loader.lost.too_many
            if is_agreed(keeper.run) and dist.any_true(setup.world, stops, setup.device):
                stop_if_lost(setup)
                raise StopRequested(stop.status or 143)


def train_batch(run: Run, batch: Batch, timing: StepTiming) -> int:
    """Train on one batch, and advance the run's position.

    Args:
        run: The run, whose state is changed in place.
        batch: The images and targets of this process.
        timing: Collects the seconds of each part but the loader's.

    Returns:
        Width of the images as they were trained, pixels.

    Raises:
        UserError: The loss or a gradient is not finite.
    """
    setup, state, progress = run.setup, run.state, run.state.progress
    mark = time.perf_counter()
    iteration = progress.epoch * len(setup.loaders[0]) + progress.batch
    precision = setup.config.precision
    place = BatchPlace(progress.epoch, progress.batch, batch.paths, setup.last, precision)
    rates = setup.schedule.rates(iteration)
    apply_rates(state.optimizer, rates)
    images, targets = to_device(batch, setup.device)
    if setup.config.multi_scale:
        images, targets = change_scale(images, targets, run, iteration)
    steps = iteration - progress.last_step >= rates.accumulate
    with batch_context(state.network, steps):
        with autocast(setup.device, precision):
            raw = state.network(images)
        total, terms = setup.loss(raw, targets, (images.shape[2], images.shape[3]))
        mark = timing.add("forward", mark)
        # Gradients are averaged over processes, but the loss is a sum over images; the factor
        # turns their mean back into a sum.
        state.scaler.scale(total * setup.world.size).backward()
    norm = gradient_norm(state) if steps else None
    figures = read_figures(total, terms, norm)
    check_loss(figures, state, images, place)
    mark = timing.add("backward", mark)
    if norm is not None:
        step(state, norm)
        progress.last_step = iteration
    add_terms(progress, figures.terms)
    progress.batch += 1
    timing.add("optimizer", mark, images=len(batch.paths))
    return images.shape[-1]


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


def validate_epoch(keeper: Keeper) -> Metrics | None:
    """Score the averaged weights, and save them as best.pt if they are the best so far.

    Returns None if this epoch is not validated, since under --noval only the last epoch is, and in
    all processes but the main one.
    """
    run, setup = keeper.run, keeper.run.setup
    config, progress = setup.config, run.state.progress
    if config.noval and progress.epoch + 1 < config.epochs:
        return None
    keeper.moments("on_val_start")
    with keeper.anywhere():
        metrics = validate(run, keeper.parts)
    if metrics is None:
        return None
    keeper.moments("on_val_end", metrics)
    progress.class_ap = [float(value) for value in metrics.details.class_ap]
    progress.scores = {
        "mAP_0.5": metrics.map50,
        "mAP_0.5:0.95": metrics.map,
        "fitness": metrics.fitness,
    }
    if metrics.fitness >= progress.best_fitness:  # at a tie best.pt is the later one, as in YOLOv5
        with keeper.stop.saving():
            checkpoints.save(lean_snapshot(run), setup.best)
    # best.pt comes first: a run that ends here validates this epoch again, and finds the same.
    if metrics.fitness > progress.best_fitness:
        progress.best_fitness, progress.best_epoch = metrics.fitness, progress.epoch
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
    rates = [group["lr"] for group in state.optimizer.param_groups[:3]]  # not those of attention
    log.add(trained, metrics, rates)


def main(argv: list[str] | None = None) -> Metrics | None:
    """Read the flags, complete them from the data set and the defaults, and train."""
    given = TRAIN_LINE.read(argv)
    with guarded_output(), dist.peers_needed():
        return train(plan(given))


if __name__ == "__main__":
    try:
        sys.exit(run_main(main))
    finally:
        ignore_signals()
