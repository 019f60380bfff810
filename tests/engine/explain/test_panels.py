"""The figure says what it shows."""

from __future__ import annotations

import numpy as np
import pytest

from engine.explain.explainer import Explained, Explanation, Panel
from engine.explain.panels import caption_of, draw_explanation, panel_size
from utils.structures import Frame

HEAT = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)


def explanation(box: np.ndarray | None) -> Explanation:
    frame = Frame(np.full((20, 30, 3), 128, np.uint8), "a.jpg", "a")
    panels = {"plain": Panel(HEAT, 0.5), "other": Panel(None, 0.0)}
    rows = {"plain": [4, 6], "other": [5]}
    return Explanation(frame, "gradcam", rows, [Explained(0, "cat", box, panels)])


def test_titles_and_caption_name_class_model_score_method_and_rows() -> None:
    figure = draw_explanation(explanation(np.array([2.0, 3, 12, 15])))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[:3] == ["cat", "plain: 0.50", "other: no box of this object"]
    assert [len(axes.images) for axes in figure.axes[:3]] == [1, 2, 1]
    assert all(len(axes.patches) == 2 for axes in figure.axes[:3])
    caption = figure.get_supxlabel().replace("\n", " ")
    assert caption.startswith("Grad-CAM of each object's confidence.")
    assert "plain 4, 6; other 5" in caption


def test_a_class_is_called_one() -> None:
    assert "each class's confidence in all boxes" in caption_of(explanation(None))


def test_panels_have_the_shape_of_their_image_unless_it_is_extreme() -> None:
    assert panel_size(np.zeros((300, 400))) == (2.4, pytest.approx(1.8))
    assert panel_size(np.zeros((640, 400))) == (2.0, 3.2)
    assert panel_size(np.zeros((4000, 400))) == (1.6, 3.2)


def test_boxes_and_maps_stay_in_pixels_of_a_large_image() -> None:
    frame = Frame(np.full((2000, 3000, 3), 128, np.uint8), "a.jpg", "a")
    heat = np.zeros((2000, 3000), np.float32)
    target = Explained(0, "cat", np.array([200.0, 300, 900, 1500]), {"plain": Panel(heat, 0.5)})
    axes = draw_explanation(Explanation(frame, "layercam", {"plain": [4]}, [target])).axes[1]
    assert all(len(image.get_array()) < 2000 for image in axes.images)
    assert all(tuple(image.get_extent()) == (-0.5, 2999.5, 1999.5, -0.5) for image in axes.images)
    assert axes.patches[0].get_xy() == (200, 300)
