"""Boxes under the names of Ultralytics' class: forms, parts, devices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from api.boxes import Boxes

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
