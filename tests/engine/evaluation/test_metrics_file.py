"""metrics.json: plain numbers, null for NaN, and the notes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engine.evaluation.metrics_file import write_metrics
from utils.structures import ClassMetrics, EvaluationDetails, Metrics


def test_scores_classes_and_notes_are_written(tmp_path: Path) -> None:
    row = ClassMetrics(0, "red", 2, 3, 0.5, 0.25, 0.75, 0.125)
    details = EvaluationDetails(errors={"both": (2, 0.25)})
    metrics = Metrics(4, 3, 0.5, 0.25, 0.75, 0.125, (row,), notes=("one", "two"), details=details)
    write_metrics(tmp_path, metrics, {"data": "d.yaml"})
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert (content["map"], content["ap_small"], content["data"]) == (0.125, None, "d.yaml")
    assert content["classes"][0]["name"] == "red"
    assert content["notes"] == ["one", "two"]
    assert content["errors"] == {"both": {"count": 2, "map50_cost": 0.25}}
    write_metrics(tmp_path, metrics, {"notes": ["three"]})
    assert json.loads((tmp_path / "metrics.json").read_text())["notes"] == ["three"]


def test_swapped_classes_are_named(tmp_path: Path) -> None:
    confusion = np.array([[0, 20, 0], [20, 0, 0], [0, 0, 0]])
    details = EvaluationDetails(confusion=confusion, names={0: "red", 1: "white"})
    metrics = Metrics(4, 3, 0.5, 0.25, 0.75, 0.125, (), details=details)
    write_metrics(tmp_path, metrics, {})
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["swapped"] == [["red", "white"]]
