"""What a search leaves in its folder."""

from __future__ import annotations

import csv

import pytest

from tests.engine.tuning.conftest import MakeStart
from utils.config import choose_hyp
from utils.families import V5

optuna = pytest.importorskip("optuna")

from engine.tuning.report import summary, write_report  # noqa: E402
from engine.tuning.study import suggest  # noqa: E402

STATE = optuna.trial.TrialState


def test_table_best_values_and_chart(start: MakeStart) -> None:
    found = start(rows={"lr0": [1e-3, 0.1, "log"]})
    folder = found.search.folder
    folder.mkdir()
    study = optuna.create_study(direction="maximize")
    assert "No trial was completed" in summary(found, study)
    for value, state in ((0.2, STATE.COMPLETE), (0.4, STATE.COMPLETE), (0.3, STATE.PRUNED)):
        trial = study.ask()
        suggest(trial, found.ranges)
        trial.report(value, 0)
        study.tell(trial, value if state == STATE.COMPLETE else None, state=state)
    write_report(found, study)
    best = study.best_trial.params["lr0"]
    assert choose_hyp(str(folder / "best_hyp.yaml"), {}, "", V5).lr0 == best
    with open(folder / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["trial"], row["state"], row["fitness"]) for row in rows] == [
        ("0", "complete", "0.2"),
        ("1", "complete", "0.4"),
        ("2", "pruned", "0.3"),
    ]
    assert float(rows[1]["lr0"]) == best
    assert (folder / "tune.png").stat().st_size > 1000
    said = summary(found, study)
    assert "3 trials: 2 complete, 1 pruned" in said
    assert (
        f"--optimizer SGD --hyp {folder / 'best_hyp.yaml'} --seed $seed --name exp-b-$seed" in said
    )
    assert "python compare.py runs/train/exp-a-* runs/train/exp-b-*" in said
