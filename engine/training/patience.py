"""Early stopping: when --patience ends a run, and what is said of it."""

from __future__ import annotations

from engine.training.dist import World
from engine.training.run import Progress
from utils.config import TrainConfig
from utils.text import counted


def should_stop(config: TrainConfig, world: World, progress: Progress) -> bool:
    """Whether training is over: no epoch is left, or --patience epochs brought no better fitness.

    Only the main process knows the fitness, so only it may stop early. Without validations no
    process does. Before the first fitness above 0 nothing has been learnt that could get worse, so
    that stage is never cut short, as in YOLOv5 and YOLOv8.
    """
    if progress.epoch >= config.epochs:
        return True
    if not world.is_main or config.noval or config.patience == 0:
        return False
    return progress.best_fitness > 0 and waited(progress) >= config.patience


def waited(progress: Progress) -> int:
    """Number of validated epochs since the fitness last rose."""
    return progress.epoch - 1 - progress.best_epoch


def note_early_stop(config: TrainConfig, progress: Progress) -> None:
    """Say that a run has ended before its last epoch, and how to change that."""
    if progress.epoch < config.epochs:
        number, best = waited(progress), progress.best_epoch
        progress.add_note(
            f"stopped early after epoch {progress.epoch - 1} of {config.epochs - 1}: the fitness"
            f" has not risen for {counted(number, 'epoch')}, since epoch {best};"
            f" --patience {config.patience} is the number of epochs to wait, 0 never stops early"
        )


def note_no_fitness(progress: Progress, labelled: int) -> None:
    """Say that no validation of a run found an object; labelled is their number."""
    if progress.scores and not labelled:
        progress.add_note(
            "the fitness is 0 in every epoch, since the validation images have no labelled object:"
            " best.pt is that of the last epoch, and --patience ends no run"
        )
    elif progress.scores and not progress.best_fitness > 0:
        progress.add_note(
            "the fitness never rose above 0: no epoch found an object of the validation images;"
            " check the labels (labels.jpg, val_batch0_labels.jpg), or train longer"
        )
