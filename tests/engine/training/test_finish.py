"""The last lines of a run, and its metrics.json, say what a reader of the scores must know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.training.build import prepare_run
from engine.training.finish import finish_run
from engine.training.logbook import StepTiming
from tests.tiny import write_data, write_graph
from utils.config import TrainConfig
from utils.hyperparameters import Hyperparameters


def test_a_lost_best_and_a_fitness_of_0_are_in_the_last_lines_and_in_metrics_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TrainConfig(
        cfg=str(write_graph(tmp_path)), data=str(write_data(tmp_path)), imgsz=64, batch_size=4,
        workers=0, device="cpu", project=str(tmp_path), cache="no", noplots=True, epochs=9,
    )  # fmt: skip
    run = prepare_run(config, Hyperparameters())
    run.state.progress.epoch, run.state.progress.scores = 9, {"fitness": 0.0}
    assert finish_run(run, StepTiming()) is not None
    said = capsys.readouterr().out
    last_lines = said[said.index("Last mAP50") :]
    metrics = json.loads((run.setup.folder / "metrics.json").read_text())
    assert metrics["epoch"] == 8
    assert len(metrics["notes"]) == 2
    for note, words in zip(
        metrics["notes"], ("never rose above 0", "best.pt: cannot be read"), strict=True
    ):
        assert words in note
        assert f"note: {note}\n" in last_lines
    assert f"--weights {run.setup.last}" in last_lines
