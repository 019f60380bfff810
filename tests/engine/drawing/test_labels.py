"""Charts of labels: none, one, many, eighty classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.drawing.labels import plot_correlogram, plot_labels, share_boxes
from tests.engine.drawing.charts import NAMES, read_image


def test_labels_of_nothing_one_and_many(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for count in (0, 1, 3000):
        corners = rng.uniform(0, 400, (count, 2, 2))
        boxes = np.concatenate((corners.min(1), corners.max(1)), 1)
        shares = share_boxes(boxes, np.tile((400, 400), (count, 1)))
        classes = rng.integers(0, 3, count)
        assert read_image(
            plot_labels(tmp_path, shares, classes, dict(enumerate(NAMES[3])))
        ).shape == (1190, 1890, 3)
        assert read_image(plot_correlogram(tmp_path, shares)).shape == (1080, 1080, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "labels.jpg",
        "labels_correlogram.jpg",
    ]


def test_labels_of_eighty_classes(tmp_path: Path) -> None:
    plot_labels(tmp_path, np.full((80, 4), 0.5), np.arange(80), dict(enumerate(NAMES[80])))
    read_image(tmp_path / "labels.jpg")


def test_share_boxes() -> None:
    shares = share_boxes(np.array([[10, 20, 30, 80]]), np.array([[100, 200]]))
    assert np.allclose(shares, [[0.1, 0.5, 0.1, 0.6]])
