"""Boxes and scores under the names of Ultralytics' classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from api.scores import Boxes, DetMetrics
from engine.evaluation.metrics import Evaluation

ROWS = [[10.0, 20.0, 50.0, 40.0, 0.9, 1.0], [0.0, 0.0, 100.0, 80.0, 0.5, 0.0]]
SIZE = (80, 100)


@pytest.mark.parametrize("kind", [torch.tensor, lambda rows: np.array(rows, np.float32)])
def test_forms_of_boxes(kind):
    boxes = Boxes(kind(ROWS), SIZE)
    assert boxes.xyxy.tolist() == [[10, 20, 50, 40], [0, 0, 100, 80]]
    assert boxes.xywh.tolist() == [[30, 30, 40, 20], [50, 40, 100, 80]]
    assert np.allclose(boxes.xyxyn.tolist(), [[0.1, 0.25, 0.5, 0.5], [0, 0, 1, 1]])
    assert np.allclose(boxes.xywhn.tolist(), [[0.3, 0.375, 0.4, 0.25], [0.5, 0.5, 1, 1]])
    assert np.allclose(boxes.conf.tolist(), [0.9, 0.5])
    assert boxes.cls.tolist() == [1, 0]
    assert boxes.id is None
    assert boxes.shape == (2, 6)
    assert len(boxes) == 2


def test_parts_of_boxes():
    boxes = Boxes(torch.tensor(ROWS), SIZE)
    assert [box.xyxy.shape for box in boxes] == [(1, 4), (1, 4)]
    assert boxes[1].cls.tolist() == [0]
    assert len(boxes[boxes.conf > 0.6]) == 1
    assert len(boxes[:0]) == len(Boxes(torch.zeros(0, 6), SIZE)) == 0
    assert Boxes(torch.zeros(0, 6), SIZE).xywhn.shape == (0, 4)


def test_places_of_boxes():
    boxes = Boxes(torch.tensor(ROWS), SIZE)
    assert isinstance(boxes.numpy().xywhn, np.ndarray)
    assert isinstance(boxes.numpy().cpu().numpy().data, np.ndarray)
    assert boxes.to(torch.float64).data.dtype == torch.float64
    assert torch.equal(boxes.numpy().to("cpu").data, boxes.data)
    assert torch.equal(boxes.numpy().tensor(), boxes.data)


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


def test_scores_of_nothing():
    result = scores([], [])
    assert result.box.map75 == result.box.map == 0
    assert result.box.ap50.tolist() == []
