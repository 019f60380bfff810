"""Matching by hand: what each detection may take, at all thresholds at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.evaluation.matching import (
    IOU_THRESHOLDS,
    as_floats,
    highest_before,
    match_predictions,
)
from utils.boxes import box_iou


def test_the_highest_of_those_before_with_the_same_label() -> None:
    best = np.array([0.6, 0.7, 0.5, 0.9, 0.8], np.float32)
    found = highest_before(best, np.array([3, 1, 3, 3, 3]))
    assert found.tolist() == [-1, -1, best[0], best[0], best[3]]


@pytest.mark.parametrize("seed", range(20))
def test_all_thresholds_at_once_equal_one_after_another(seed: int) -> None:
    """At each threshold the first detection that reaches it takes its one label."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 6, (30, 2))
    corners = np.concatenate((low, low + rng.integers(3, 9, (30, 2))), 1)
    classes = rng.integers(0, 2, 30)
    corners[4:9], classes[4:9] = corners[22:27], classes[22:27]
    detections = np.column_stack((corners, np.linspace(1, 0, 30), classes))[:22]
    labels = np.column_stack((classes, corners))[22:]
    detections, labels = detections.astype(np.float32), labels.astype(np.float32)
    overlap = box_iou(torch.from_numpy(labels[:, 1:]), torch.from_numpy(detections[:, :4])).numpy()
    wanted = np.zeros((22, 10), dtype=bool)
    for column, bound in enumerate(IOU_THRESHOLDS):
        taken: set[int] = set()
        for row, detection in enumerate(detections):
            offered = overlap[:, row] * (labels[:, 0] == detection[5])
            label = int(offered.argmax())
            if offered[label] >= bound and label not in taken:
                wanted[row, column] = True
                taken.add(label)
    assert np.array_equal(match_predictions(detections, labels), wanted)
    assert np.array_equal(match_predictions(detections, labels, overlap=overlap), wanted)
    assert wanted[:, 0].sum() >= wanted[:, 9].sum() > 0


def test_rows_become_float32_arrays() -> None:
    tensor = torch.ones(2, 3, dtype=torch.bfloat16, requires_grad=True)
    assert as_floats(tensor).dtype == as_floats(np.ones(2)).dtype == np.float32
    whole = torch.ones(2)
    as_floats(whole)[0] = 5
    assert whole[0] == 5
