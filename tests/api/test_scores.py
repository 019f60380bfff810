"""Scores under the names of Ultralytics' classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from api.scores import DetMetrics
from engine.evaluation.metrics import Evaluation


def scores(found: list[list[float]], labels: list[list[float]]) -> DetMetrics:
    evaluation = Evaluation(3)
    evaluation.add(torch.tensor(found).reshape(-1, 6), torch.tensor(labels).reshape(-1, 5))
    metrics = evaluation.result({0: "a", 1: "b", 2: "c"})
    class_ap = np.array([metrics.map, 0.5, 0.25])
    metrics = replace(metrics, details=replace(metrics.details, class_ap=class_ap))
    metrics.speed_ms.update({"preprocess": 1.0, "inference": 2.0, "nms": 3.0})
    return DetMetrics(metrics, {0: "a", 1: "b", 2: "c"})


def test_scores():
    # class 1 is found exactly; of class 2 the one box overlaps by 0.8: right at .5 to .8, wrong
    # above (7 of 10)
    found = [[0, 0, 10, 10, 0.9, 1], [20, 20, 30, 28, 0.8, 2]]
    result = scores(found, [[1, 0, 0, 10, 10], [2, 20, 20, 30, 30]])
    box = result.box
    assert box.ap_class_index.tolist() == [1, 2]
    assert box.map50 == pytest.approx(0.995, abs=0.01)
    assert box.map75 == pytest.approx(0.995, abs=0.01)
    assert box.ap[0] == pytest.approx(0.995, abs=0.01)
    assert 0.5 < box.ap[1] < 0.8
    assert box.map == pytest.approx(box.ap.mean())
    assert box.class_result(1) == (box.p[1], box.r[1], box.ap50[1], box.ap[1])
    assert box.maps.tolist()[1:] == [0.5, 0.25]
    assert result.mean_results() == [box.mp, box.mr, box.map50, box.map]
    assert list(result.results_dict) == [
        "metrics/precision(B)",
        "metrics/recall(B)",
        "metrics/mAP50(B)",
        "metrics/mAP50-95(B)",
        "fitness",
    ]
    assert result.speed == {"preprocess": 1.0, "inference": 2.0, "postprocess": 3.0}
    assert result.confusion_matrix.matrix.shape == (4, 4)
    assert result.fitness == result.metrics.fitness


def test_tables_of_scores():
    """Ultralytics' names: a row for each class with labels, in the order of their numbers."""
    found = [[0, 0, 10, 10, 0.9, 1], [20, 20, 30, 28, 0.8, 2], [50, 50, 60, 60, 0.7, 2]]
    result = scores(found, [[1, 0, 0, 10, 10], [2, 20, 20, 30, 30]])
    rows = result.summary()
    assert [row["Class"] for row in rows] == ["b", "c"]
    assert [*rows[0]] == (
        ["Class", "Images", "Instances", "Box-P", "Box-R", "Box-F1", "mAP50", "mAP75", "mAP50-95"]
    )
    assert [rows[1]["Images"], rows[1]["Instances"]] == [1, 1]
    assert rows[1]["mAP75"] == pytest.approx(result.box.all_ap[1, 5], abs=1e-5)
    assert rows[1]["Box-F1"] == pytest.approx(result.box.f1[1], abs=1e-5)
    assert result.to_csv().splitlines()[0] == ",".join(rows[0])
    assert result.to_df()["mAP50-95"].tolist() == [row["mAP50-95"] for row in rows]
    assert result.nt_per_class.tolist() == result.nt_per_image.tolist() == [0, 1, 1]
    assert len(result.curves) == len(result.curves_results) == 4
    positions, values, *axes = result.curves_results[0]
    assert (positions.shape, values.shape, axes) == ((1000,), (2, 1000), ["Recall", "Precision"])
    assert list(scores([], []).to_df().columns) == [*rows[0]]


def test_table_of_the_confusion():
    found = [[0, 0, 10, 10, 0.9, 1], [50, 50, 60, 60, 0.7, 2]]
    matrix = scores(found, [[1, 0, 0, 10, 10], [1, 20, 20, 30, 30]]).confusion_matrix
    assert [row["Predicted"] for row in matrix.summary()] == ["a", "b", "c", "background"]
    assert [row["b"] for row in matrix.summary()] == [0, 1, 0, 1]
    assert [row["b"] for row in matrix.summary(normalize=True)] == [0, 0.5, 0, 0.5]
    assert matrix.summary()[2]["background"] == 1
    matrix.names = {0: "a", 1: "a", 2: "c"}
    assert [*matrix.to_df().columns] == ["Predicted", "a", "a (1)", "c", "background"]


def test_scores_have_the_notes_of_the_evaluation():
    metrics = replace(scores([], []).metrics, notes=("val: 1 of 2 images were left out",))
    assert DetMetrics(metrics, {0: "a"}).notes == metrics.notes


def test_scores_of_nothing():
    result = scores([], [])
    assert result.box.map75 == result.box.map == 0
    assert result.box.ap50.tolist() == []
