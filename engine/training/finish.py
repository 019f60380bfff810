"""Charts at the start of a run, and scores and small checkpoints at its end."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from data.index import DatasetIndex
from engine.evaluation.curves_file import write_curves
from engine.evaluation.error_kinds import error_line
from engine.evaluation.evaluate import EvalSettings, evaluate
from engine.evaluation.metrics_file import write_metrics
from engine.evaluation.notes import data_notes
from engine.training.best import Chosen, choose_best
from engine.training.colours import with_colours
from engine.training.logbook import StepTiming
from engine.training.overview import closing_line
from engine.training.patience import note_no_fitness
from engine.training.run import Progress, Run, Setup, lean_snapshot
from engine.training.skips import note_skips
from engine.training.sparsity import Sparsity
from models.own.adapter import modules_flag
from models.weights.load import from_checkpoint
from utils import checkpoint as checkpoints
from utils.device import peak_memory_mb
from utils.files import read_results, with_gaps
from utils.structures import Batch, Metrics
from utils.tables import area_line

DRAWN_TRAIN_BATCHES = 3


def draw_labels(folder: Path, index: DatasetIndex) -> None:
    """Write labels.jpg and labels_correlogram.jpg of the training set."""
    from engine.drawing.labels import plot_correlogram, plot_labels, share_boxes

    sizes = index.sizes.repeat(np.diff(index.offsets), axis=0)
    shares = share_boxes(index.boxes, sizes)
    plot_labels(folder, shares, index.classes, index.names)
    plot_correlogram(folder, shares)


def is_drawn(setup: Setup, progress: Progress) -> bool:
    """Whether to draw the current batch, one of the first of a run."""
    is_early = progress.epoch == 0 and progress.batch < DRAWN_TRAIN_BATCHES
    return is_early and setup.world.is_main and not setup.config.noplots


def draw_train_batch(folder: Path, number: int, batch: Batch, names: dict[int, str]) -> None:
    """Write train_batchN.jpg: the images as the network gets them, with their boxes.

    Args:
        folder: The run's folder.
        number: The batch's number in the first epoch, N.
        batch: Images and targets.
        names: Class number -> name.
    """
    from engine.drawing.sheets import plot_targets

    plot_targets(folder / f"train_batch{number}.jpg", with_colours(batch), names)


def finish_run(run: Run, timing: StepTiming, seconds: float = 0.0) -> Metrics | None:
    """Score the best checkpoint with all charts, and reduce last.pt to what inference needs.

    metrics.json and the small last.pt are written last, since they mark the run as finished.

    Args:
        run: The run.
        timing: The seconds of each part of its iterations.
        seconds: How long this process has trained.
    """
    setup, progress = run.setup, run.state.progress
    if not setup.world.is_main:
        return None
    timing.write(setup.folder)
    note_no_fitness(progress, len(setup.data[1].classes))
    note_skips(run.state)
    chosen = choose_best(run)
    metrics = score_best(run, chosen)
    notes = list(dict.fromkeys((*progress.notes, *metrics.notes)))
    figures = {
        "epoch": chosen.epoch,
        "epochs": progress.epoch,
        "train_images": len(setup.data[0]),
        "memory_mb": peak_memory_mb(setup.device),
        "notes": notes,
        "average": describe_average(run, chosen.epoch),
    }
    write_curves(setup.folder, metrics)
    write_metrics(setup.folder, metrics, figures)
    checkpoints.save(lean_snapshot(run), setup.last)  # from here on there is nothing to resume
    checkpoints.previous_of(setup.last).unlink(missing_ok=True)
    which = "Best" if chosen.path == setup.best else "Last"
    print(f"{which} mAP50 {metrics.map50:.3f}, mAP50-95 {metrics.map:.3f}, epoch {chosen.epoch}")
    for note in notes:
        print(f"note: {note}")
    print(closing_line(run, seconds, chosen.epoch))
    print(f"Results in {setup.folder}")
    own = modules_flag(run.state.model)
    size = setup.config.imgsz
    print(f"Use it: python detect.py --weights {chosen.path}{own} --imgsz {size} --source IMAGES")
    return metrics


def describe_average(run: Run, epoch: int) -> dict[str, float]:
    """How old the averaged weights of an epoch are: updates, and the share left of the start."""
    ema, done = run.state.ema, max(run.state.progress.epoch, 1)
    # Only the number at the end is known; epochs have about as many updates each.
    updates = round(ema.updates * min((epoch + 1) / done, 1.0))
    return {"updates": updates, "start_share": ema.start_share(updates)}


def score_best(run: Run, chosen: Chosen) -> Metrics:
    """Evaluate a checkpoint of the run by class and size, and draw the charts of the whole run."""
    from engine.drawing.results import plot_results

    setup, config = run.setup, run.setup.config
    if not config.noplots:
        rows = with_gaps(read_results(setup.folder / "results.csv"))
        plot_results(setup.folder / "results.png", rows, config.protocol)
    print(f"\nValidating {chosen.path}")
    model = from_checkpoint(chosen.checkpoint, where=chosen.path)
    model = model.to(setup.device).float().eval().fuse()
    area = find_spec("faster_coco_eval") is not None
    settings = EvalSettings(
        verbose=True,
        area=area,
        errors=True,
        plots=not config.noplots,
        save_dir=setup.folder,
        protocol=config.protocol,
        single_cls=config.single_cls,
    )
    loader = setup.loaders[1]
    loader.read_only(None)  # this process alone scores, in float32 as val.py does
    metrics = evaluate(model, loader, settings)
    notes = (*data_notes(setup.data[1], "val"), *metrics.notes)
    metrics = dataclasses.replace(metrics, notes=notes)
    if area:
        print(area_line(metrics))
    print(error_line(metrics.details.errors))
    weight = run.state.sparsity.weight
    if weight:
        print(f"\n{Sparsity(model, weight).table()}")
    return metrics
