"""The chart of a search."""

from __future__ import annotations

from pathlib import Path

import cv2

from engine.tuning.chart import Point, draw_search


def test_the_chart_has_a_second_panel_for_importance(tmp_path: Path) -> None:
    points = [Point(0, "complete", 0.2), Point(1, "pruned", 0.1), Point(2, "failed", 0.3)]
    one = cv2.imread(str(draw_search(tmp_path / "a.png", points, {})))
    two = cv2.imread(str(draw_search(tmp_path / "b.png", points, {"lr0": 0.7, "box": 0.3})))
    assert one is not None
    assert two is not None
    assert two.shape[1] > 1.4 * one.shape[1]
