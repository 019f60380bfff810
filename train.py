"""Train a detector: python train.py --cfg models/yolov5s_SimAM.yaml --data data/shapes.yaml; or
models/yolov8n.yaml

The loop in reading order: train (epochs: learn, validate, log, save) and train_epoch (rates,
forward, loss, backward, step). plan.py, build.py and run.py of engine/training make and keep what
it works with; engine/evaluation scores it.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import numpy as np
import torch
from tqdm import tqdm

from data.augment import multi_scale_size
from engine.detector_model import DetectorModel
from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.training import dist
from engine.training.diagnose import explain, first_bad_gradient
from engine.training.logbook import (
    ResultsLog,
    Timing,
    columns,
    time_to_come,
    train_header,
    train_row,
    write_metrics,
)
from engine.training.optim import MAX_GRADIENT_NORM, apply_rates
from engine.training.plan import plan
from engine.training.run import Run, lean_snapshot, save_last, snapshot
from engine.training.sampling import class_weights, focus_on_weak, image_weights
from engine.training.sparsity import Sparsity
from models.weights.load import load_model
from utils import checkpoint as checkpoints
from utils.cli import read_flags
from utils.config import REFUSED_TRAIN_FLAGS, TrainConfig
from utils.device import autocast, memory_text, peak_memory_mb
from utils.errors import UserError, run_main
from utils.seeds import stream
from utils.signals import StopRequested, StopSignal
from utils.sizes import side_step, whole_side
from utils.structures import Batch, Metrics
from utils.tables import area_line


def train(run: Run) -> Metrics | None:
    """Train to the last epoch, or until the fitness stops rising; return the best checkpoint's
    metrics.

    A signal saves the state and leaves with exit status 130 (Ctrl-C) or 143 (SIGTERM); --resume
    goes on from there.
    """
    config, progress = run.config, run.progress
    if run.world.is_main and not config.noplots:
        image_labels(run)
    names = columns(run.loss.names, run.sparsity.columns())
    log = ResultsLog(run.folder, names, progress.epoch) if run.world.is_main else None
    timing, first, start = Timing(), progress.epoch, time.monotonic()
    done = dist.any_true(run.world, should_stop(run), run.device)
    with StopSignal() as stop:
        try:
            while not done:
                train_epoch(run, stop, timing)
                with stop.anywhere():
                    metrics = validate(run)
                if log is not None:
                    write_epoch(run, log, metrics)
                progress.epoch, progress.batch, progress.loss_sums = (
                    progress.epoch + 1,
                    0,
                    [0.0, 0.0, 0.0],
                )
                keep_epoch(run)
                if run.world.is_main and first + 1 == progress.epoch < config.epochs:
                    print(time_to_come(time.monotonic() - start, config.epochs - progress.epoch))
                with stop.anywhere():
                    done = dist.any_true(run.world, should_stop(run), run.device)
                if not (config.nosave or done):
                    save_last(run)
            with stop.anywhere():
                return finish(run, timing)
        except StopRequested as request:
            save_last(run)
            print(
                f"\nstopped in epoch {progress.epoch}; go on with: python train.py --resume"
                f" {run.last}"
            )
            sys.exit(request.status)
        finally:
            if log is not None:
                log.close()
            dist.stop(run.world)


def train_epoch(run: Run, stop: StopSignal, timing: Timing) -> None:
    """One pass over the training images, from the batch where the run stands."""
    progress, loader = run.progress, run.loaders[0]
    start_epoch(run)
    if run.world.is_main:
        print("\n" + train_header(run.loss.names))
    bar = tqdm(
        loader,
        total=len(loader),
        initial=progress.batch,
        disable=not run.world.is_main,
        dynamic_ncols=True,
    )
    mark = time.perf_counter()
    for batch in bar:
        mark = timing.add("loader", mark)
        if (
            progress.epoch == 0
            and progress.batch < 3
            and run.world.is_main
            and not run.config.noplots
        ):
            image_batch(run, batch)
            mark = time.perf_counter()
        iteration = progress.epoch * len(loader) + progress.batch
        rates = run.schedule.rates(iteration)
        apply_rates(run.optimizer, rates)
        images, targets = to_device(run, batch, iteration)
        with autocast(run.device, run.config.precision):
            raw = run.network(images)
        total, items = run.loss(raw, targets, tuple(images.shape[-2:]))
        check_loss(run, total, batch, images)
        mark = timing.add("forward", mark)
        run.scaler.scale(total * run.world.size).backward()
        mark = timing.add("backward", mark)
        if iteration - progress.last_step >= rates.accumulate:
            step(run, batch)
            progress.last_step = iteration
        progress.batch += 1
        progress.loss_sums = [
            a + b for a, b in zip(progress.loss_sums, items.tolist(), strict=True)
        ]
        mark = timing.add("optimizer", mark, images=len(batch.paths))
        bar.set_description_str(progress_row(run, batch, images.shape[-1]))
        if dist.any_true(run.world, bool(stop.status), run.device):
            bar.close()
            raise StopRequested(stop.status or 143)


def image_labels(run: Run) -> None:
    """labels.jpg and labels_correlogram.jpg of the training set."""
    from engine.drawing.labels import plot_correlogram, plot_labels, share_boxes

    labels = run.data[0]
    sizes = labels.sizes.repeat(np.diff(labels.offsets), axis=0)
    shares = share_boxes(labels.boxes, sizes)
    plot_labels(run.folder, shares, labels.classes, labels.names)
    plot_correlogram(run.folder, shares)


def image_batch(run: Run, batch: Batch) -> None:
    """train_batch0.jpg to train_batch2.jpg: what the network is really shown."""
    from engine.drawing.sheets import plot_targets

    plot_targets(run.folder / f"train_batch{run.progress.batch}.jpg", batch, run.model.names)


def start_epoch(run: Run) -> None:
    """Point the loader at this epoch and batch; frozen rows keep their batch-norm statistics too."""
    progress, loader = run.progress, run.loaders[0]
    run.model.train()
    for row in run.model.model:
        for module in row.modules() if row.i in run.config.frozen_rows() else ():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
    if progress.batch == 0:
        run.optimizer.zero_grad(set_to_none=True)
    if run.config.close_mosaic and progress.epoch >= run.config.epochs - run.config.close_mosaic:
        loader.close_mosaic()
    if run.config.image_weights:
        labels = run.data[0]
        weights = class_weights(labels.classes, len(labels.names))
        focused = focus_on_weak(weights, np.array(progress.class_ap or [0.0] * len(weights)))
        loader.set_weights(image_weights(labels.classes, labels.offsets, focused))
    loader.set_epoch(progress.epoch, progress.batch)


def to_device(run: Run, batch: Batch, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images as float 0..1 in channels-last order on the device, and their targets; resized under
    --multi-scale.
    """
    images = (
        batch.images.to(run.device, non_blocking=True, memory_format=torch.channels_last).float()
        / 255
    )
    targets = batch.targets.to(run.device, non_blocking=True)
    if run.config.multi_scale:
        generator = stream(run.config.seed, "multi-scale", iteration)
        height, width = images.shape[-2:]
        stride = side_step(run.model.stride)
        factor = multi_scale_size(generator, run.config.imgsz, stride) / max(height, width)
        size = [whole_side(int(side * factor), stride) for side in (height, width)]
        images = torch.nn.functional.interpolate(
            images, size=size, mode="bilinear", align_corners=False
        )
        x, y = size[1] / width, size[0] / height
        targets = targets * targets.new_tensor([1, 1, x, y, x, y])
    return images, targets


def step(run: Run, batch: Batch) -> None:
    """Clip the gradients, move the weights, move their average."""
    run.scaler.unscale_(run.optimizer)
    run.sparsity.add_gradients()
    norm = torch.nn.utils.clip_grad_norm_(run.model.parameters(), MAX_GRADIENT_NORM)
    if not run.scaler.is_enabled() and not torch.isfinite(norm):
        raise UserError(
            f"{where(run, batch)}: the gradient of {first_bad_gradient(run.model)} is not finite; "
            f"{remedy(run)}"
        )
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.optimizer.zero_grad(set_to_none=True)
    run.ema.update(run.model)


def check_loss(run: Run, total: torch.Tensor, batch: Batch, images: torch.Tensor) -> None:
    """Stop at a loss that is no number, with the place where it began."""
    if not torch.isfinite(total):
        cause = explain(run.model, images)
        value = float(total.detach())
        raise UserError(
            f"{where(run, batch)}: the loss is {value}; first not finite: {cause}; {remedy(run)}"
        )


def where(run: Run, batch: Batch) -> str:
    names = ", ".join(Path(path).name for path in batch.paths[:3])
    return (
        f"epoch {run.progress.epoch}, batch {run.progress.batch}"
        f" ({names}{', …' if len(batch.paths) > 3 else ''})"
    )


def remedy(run: Run) -> str:
    kept = (
        f"the last good checkpoint is {run.last}"
        if run.last.exists()
        else "no checkpoint was written yet"
    )
    return f"{kept}; lower lr0 in --hyp, or use --precision fp32"


def progress_row(run: Run, batch: Batch, size: int) -> str:
    done = max(run.progress.batch, 1)
    losses = [value / done for value in run.progress.loss_sums]
    epoch = f"{run.progress.epoch}/{run.config.epochs - 1}"
    return train_row(epoch, memory_text(run.device), losses, len(batch.targets), size)


def should_stop(run: Run) -> bool:
    """Whether no further epoch is due: all done, or no better fitness for --patience epochs.

    Only the main process knows the fitness, so only it may stop early; without validations nobody
    does.
    """
    progress, config = run.progress, run.config
    if progress.epoch >= config.epochs:
        return True
    waited = progress.epoch - 1 - progress.best_epoch
    return (
        run.world.is_main and not config.noval and config.patience > 0 and waited >= config.patience
    )


def validate(run: Run) -> Metrics | None:
    """Score the averaged weights; note the best, and keep them in best.pt.

    --noval leaves the last epoch's only.
    """
    progress = run.progress
    is_last = progress.epoch + 1 >= run.config.epochs
    if run.loaders[1] is None or (run.config.noval and not is_last):
        return None
    settings = EvalSettings(
        loss=run.loss,
        verbose=run.config.verbose,
        single_cls=run.config.single_cls,
        protocol=run.config.protocol,
        save_dir=run.folder,
        sheets=int(not run.config.noplots),
    )
    metrics = evaluate(cast(DetectorModel, run.ema.module), run.loaders[1], settings)
    progress.class_ap = [float(value) for value in metrics.details.class_ap]
    progress.scores = {
        "mAP_0.5": metrics.map50,
        "mAP_0.5:0.95": metrics.map,
        "fitness": metrics.fitness,
    }
    if metrics.fitness > progress.best_fitness:
        progress.best_epoch = progress.epoch
    if metrics.fitness >= progress.best_fitness:
        progress.best_fitness = metrics.fitness
        checkpoints.save(lean_snapshot(run), run.best)
    return metrics


def keep_epoch(run: Run) -> None:
    """--save-period: a whole checkpoint of the epoch just ended, that nothing overwrites."""
    epoch, period = run.progress.epoch - 1, run.config.save_period
    if period > 0 and epoch % period == 0 and run.world.is_main:
        checkpoints.save(snapshot(run), run.folder / "weights" / f"epoch{epoch}.pt")


def write_epoch(run: Run, log: ResultsLog, metrics: Metrics | None) -> None:
    """One row of results.csv."""
    names = (f"train/{name}_loss" for name in run.loss.names)
    means = (total / max(run.progress.batch, 1) for total in run.progress.loss_sums)
    trained = {
        "epoch": run.progress.epoch,
        **dict(zip(names, means, strict=True)),
        **run.sparsity.columns(),
    }
    log.add(trained, metrics, [group["lr"] for group in run.optimizer.param_groups])


def finish(run: Run, timing: Timing) -> Metrics | None:
    """Leave small checkpoints behind, score the best one with all plots, and say how to use it."""
    if not run.world.is_main:
        return None
    from engine.drawing.results import plot_results

    timing.write(run.folder)
    plots = not run.config.noplots
    if plots:
        plot_results(run.folder / "results.csv", run.config.protocol)
    best = run.best if run.best.exists() else run.last
    print(f"\nValidating {best}")
    model = load_model(best, run.device)
    area = find_spec("faster_coco_eval") is not None
    settings = EvalSettings(
        verbose=True,
        area=area,
        plots=plots,
        save_dir=run.folder,
        protocol=run.config.protocol,
        single_cls=run.config.single_cls,
    )
    metrics = evaluate(model, run.loaders[1] or (), settings)
    if area:
        print(area_line(metrics))
    if run.sparsity.weight:
        print(f"\n{Sparsity(model, run.sparsity.weight).table()}")
    figures = {
        "epoch": run.progress.best_epoch,
        "epochs": run.progress.epoch,
        "train_images": len(run.data[0]),
        "memory_mb": peak_memory_mb(run.device),
    }
    write_metrics(run.folder, metrics, figures)
    checkpoints.save(lean_snapshot(run), run.last)  # from here on there is nothing to resume
    checkpoints.previous_of(run.last).unlink(missing_ok=True)
    print(
        f"Best mAP50 {metrics.map50:.3f}, mAP50-95 {metrics.map:.3f}, epoch"
        f" {run.progress.best_epoch}"
    )
    print(f"Results in {run.folder}")
    print(f"Use it: python detect.py --weights {best} --imgsz {run.config.imgsz} --source IMAGES")
    return metrics


def main(argv: list[str] | None = None) -> Metrics | None:
    """Read the flags over the data set's suggestions over the defaults, then train."""
    return train(plan(read_flags(TrainConfig, argv, "Train a detector.", REFUSED_TRAIN_FLAGS)))


if __name__ == "__main__":
    sys.exit(run_main(main))
