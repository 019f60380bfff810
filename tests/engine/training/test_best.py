"""A run can be finished whatever happened to its best.pt, and says what it was scored by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.training.best import check_best, choose_best
from engine.training.build import prepare_run
from engine.training.run import Run, lean_snapshot
from tests.tiny import write_data, write_free_graph, write_graph
from utils import checkpoint as checkpoints
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters


def make_run(folder: Path, graph: Callable[[Path], Path] = write_graph) -> Run:
    """A run that has validated two epochs, of which the first was the best."""
    config = TrainConfig(
        cfg=str(graph(folder)), data=str(write_data(folder)), imgsz=64, batch_size=4, workers=0,
        device="cpu", project=str(folder), cache="no", noplots=True, epochs=9,
    )  # fmt: skip
    run = prepare_run(config, Hyperparameters())
    checkpoints.save(lean_snapshot(run), run.setup.best)
    progress = run.state.progress
    progress.epoch, progress.best_fitness, progress.scores = 2, 0.5, {"fitness": 0.4}
    return run


def test_the_epoch_of_best_is_the_one_whose_weights_it_holds(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.state.progress.best_epoch = 1  # where the fitness rose last; at a tie best.pt is later
    chosen = choose_best(run)
    assert (chosen.path, chosen.epoch) == (run.setup.best, 0)
    check_best(run)
    assert run.state.progress.notes == []


@pytest.mark.parametrize("damage", ["missing", "emptied", "torn", "folder", "another graph"])
def test_a_damaged_best_is_replaced_by_the_last_state_and_named(
    tmp_path: Path, damage: str
) -> None:
    run = make_run(tmp_path)
    best, content = run.setup.best, run.setup.best.read_bytes()
    best.unlink()
    if damage in ("emptied", "torn"):
        best.write_bytes(content[: len(content) // 2 if damage == "torn" else 0])
    elif damage == "folder":
        best.mkdir()
    elif damage == "another graph":
        (tmp_path / "other").mkdir()
        other = make_run(tmp_path / "other", write_free_graph)
        checkpoints.save(lean_snapshot(other), best)
    chosen = choose_best(run)
    assert (chosen.path, chosen.epoch) == (run.setup.last, 1)
    (note,) = run.state.progress.notes
    assert str(best) in note
    assert "the scores are those of the last epoch, 1" in note
    check_best(run)
    assert run.state.progress.best_fitness == 0
    assert "the best of the epochs from 2 on" in run.state.progress.notes[1]


def test_a_run_on_images_without_labels_has_no_best_and_misses_none(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.setup.best.unlink()
    run.state.progress.scores = {"fitness": float("nan")}
    assert choose_best(run).path == run.setup.last
    assert run.state.progress.notes == []
