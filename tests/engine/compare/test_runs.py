"""A run's folder is read whichever program wrote it, and a damaged one is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from engine.compare.runs import read_run
from engine.evaluation.metrics_file import write_metrics
from tests.engine.compare.material import metrics_of, write_run, write_ultralytics, write_yolov5
from utils.errors import UserError


def test_a_run_of_train_has_scores_curves_and_epochs(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", 0.3, seed=7))
    assert (run.program, run.name, run.seed, run.weights) == ("train.py", "a", 7, None)
    assert run.epochs == [1, 2, 3]
    assert run.history["map"] == pytest.approx([0.1, 0.2, 0.3])
    assert run.metric("map") == 0.3
    assert math.isnan(run.metric("ap_large"))
    assert run.curves is not None
    assert run.curves.names == ("cat", "dog & cat")
    assert run.settings["hyp.lr0"] == 0.01


def test_runs_of_other_programs_give_their_epochs(tmp_path: Path) -> None:
    theirs, yolov5 = write_ultralytics(tmp_path / "u"), write_yolov5(tmp_path / "v5")
    found = {run.program: run for run in map(read_run, (theirs, yolov5))}
    assert found["Ultralytics"].epochs == [1, 2]
    assert found["Ultralytics"].history == {"map50": [0.3, 0.4], "map": [0.1, 0.2]}
    assert found["YOLOv5"].epochs == [1]
    assert found["YOLOv5"].history == {"map50": [0.5], "map": [0.25]}
    assert all(math.isnan(run.metric("map")) for run in found.values())


def test_a_validation_has_the_settings_of_the_training_of_its_weights(tmp_path: Path) -> None:
    trained, folder = write_run(tmp_path / "trained", 0.3, seed=4), tmp_path / "val"
    weights = trained / "weights" / "best.pt"
    weights.parent.mkdir()
    weights.write_bytes(b"")
    folder.mkdir()
    write_metrics(folder, metrics_of(0.4), {"weights": [str(weights)]})
    run = read_run(folder)
    assert (run.program, run.seed, run.weights, run.metric("map")) == ("val.py", 4, weights, 0.4)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"map": 3}', "map: must be a number between 0 and 1"),
        ('{"map": null}', "map: must be a number between 0 and 1"),
        ("{", "not valid JSON"),
    ],
)
def test_damaged_scores_are_no_score_of_0(content: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(UserError, match=rf"metrics\.json: .*{reason}.*run it again"):
        read_run(tmp_path)


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has neither metrics\.json nor rows"):
        read_run(tmp_path)
    with pytest.raises(UserError, match="nothing: no such folder"):
        read_run(tmp_path / "nothing")
