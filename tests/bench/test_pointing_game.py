"""The pointing game counts a map whose highest value lies on the object."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.pointing_game import boxes_for, labels_of, score_map
from engine.explain.explainer import Explained
from utils.structures import Frame


def test_a_hit_the_energy_and_the_area() -> None:
    heat = np.zeros((10, 20), np.float32)
    heat[2, 3], heat[8, 15] = 3, 1
    assert score_map(heat, np.array([[2.0, 1, 6, 4]])) == (1, 0.75, 12 / 200)
    assert score_map(heat, np.array([[14.0, 7, 20, 10]])) == (0, 0.25, 18 / 200)


def test_labels_are_found_and_fit_their_target(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    (tmp_path / "labels" / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n1 0.1 0.1 0.1 0.1\n")
    path = str(tmp_path / "images" / "a.jpg")
    classes, boxes = labels_of(Frame(np.zeros((40, 80, 3), np.uint8), path, "a"))
    assert boxes[0].tolist() == [20, 10, 60, 30]
    near = Explained(1, "cat", np.array([22, 11, 60, 30], np.float32), {})
    assert boxes_for(near, classes, boxes).tolist() == [[20, 10, 60, 30]]
    assert len(boxes_for(Explained(1, "cat", None, {}), classes, boxes)) == 2
    assert len(boxes_for(Explained(0, "dog", None, {}), classes, boxes)) == 0
