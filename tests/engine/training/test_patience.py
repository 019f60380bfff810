"""Early stopping: not before the first fitness above 0, and never in silence."""

from __future__ import annotations

import pytest

from engine.training.dist import World
from engine.training.patience import note_early_stop, note_no_fitness, should_stop
from engine.training.run import Progress
from utils.config import TrainConfig


def test_a_run_never_stops_before_its_first_fitness_above_0() -> None:
    config = TrainConfig(epochs=300, patience=3)
    assert not should_stop(config, World(), Progress(epoch=200, best_fitness=0.0))
    learnt = Progress(epoch=203, best_fitness=1e-9, best_epoch=200)
    assert not should_stop(config, World(), learnt)
    learnt.epoch += 1
    assert should_stop(config, World(), learnt)
    assert not should_stop(TrainConfig(epochs=300, patience=0), World(), learnt)


def test_an_early_stop_says_which_epoch_was_best_and_how_to_change_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    progress = Progress(epoch=12, best_fitness=0.4, best_epoch=8)
    note_early_stop(TrainConfig(epochs=12), progress)
    assert progress.notes == []
    note_early_stop(TrainConfig(epochs=50, patience=3), progress)
    (note,) = progress.notes
    assert "stopped early after epoch 11 of 49" in note
    assert "not risen for 3 epochs, since epoch 8; --patience 3" in note
    assert "0 never stops early" in note
    assert capsys.readouterr().out == f"note: {note}\n"


def test_a_run_whose_fitness_stayed_0_says_so() -> None:
    for scores, best, said in (({}, 0.0, 0), ({"fitness": 0.0}, 0.0, 1), ({"fitness": 0}, 0.1, 0)):
        progress = Progress(scores=scores, best_fitness=best)
        note_no_fitness(progress, 3)
        assert len(progress.notes) == said


def test_a_validation_set_without_objects_is_not_blamed_on_the_labels() -> None:
    progress = Progress(scores={"fitness": 0.0})
    note_no_fitness(progress, 0)
    assert progress.notes[0].startswith("the fitness is 0 in every epoch, since the validation")
