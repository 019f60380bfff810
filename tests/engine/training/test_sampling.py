"""Weights for --image-weights against YOLOv5's numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from engine.training.sampling import class_weights, focus_on_weak, image_weights

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/yolov5/misc.json").read_text())
CLASSES = np.array([row[0] for image in GOLDEN["labels"] for row in image])
OFFSETS = np.cumsum([0, *(len(image) for image in GOLDEN["labels"])])


def test_weights_equal_golden() -> None:
    weights = class_weights(CLASSES, 6)
    np.testing.assert_allclose(weights, GOLDEN["class_weights"], atol=1e-6)
    np.testing.assert_allclose(
        image_weights(CLASSES, OFFSETS, weights * 6), GOLDEN["image_weights"], atol=1e-6
    )
    weak = focus_on_weak(weights, np.array(GOLDEN["maps"]))
    np.testing.assert_allclose(
        image_weights(CLASSES, OFFSETS, weak), GOLDEN["image_weights_with_maps"], atol=1e-6
    )


def test_no_labels_at_all() -> None:
    assert class_weights(np.zeros(0), 2).tolist() == [0.5, 0.5]
    assert image_weights(np.zeros(0), np.zeros(4, dtype=int), np.ones(2)).tolist() == [0, 0, 0]
